/* Processes that do nothing but carry a pid, a name and a command line, as real services leave them.
 *
 * argv is taken as given (the caller starts this program under another argv[0]). From the environment:
 *   SLEEPER_COMM      the kernel's name of this process (it cuts at 15 characters)
 *   SLEEPER_CHILD     fork one child under this title, written over argv as setproctitle does, NULs behind it
 *   SLEEPER_WORKERS   and let that child fork so many more, titled VLLM::Worker_TP0, _TP1, ...
 *   SLEEPER_FORKS     fork so many plain children
 *   SLEEPER_RENAME    the title this process takes when it gets SIGUSR1
 *   SLEEPER_ZOMBIES   do not reap children that end
 * The others' pids are written to standard output ("child 12", "worker 13", "fork 14"), then "ready", and "engine" by
 * the child once its title stands. Every one of them ends when standard input does, so that none outlives the test;
 * or by a signal.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *area;
static size_t room;

static void entitle(const char *title) {
  memset(area, 0, room);
  strncpy(area, title, room - 1);
  prctl(PR_SET_NAME, title);
}

static void on_rename(int number) { (void)number; entitle(getenv("SLEEPER_RENAME")); }

static _Noreturn void rest(void) {
  char byte;
  for (;;) {
    if (read(0, &byte, 1) <= 0) _exit(0);
  }
}

static int number(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }

static pid_t child(const char *title) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0 && title) entitle(title);
  return pid;
}

static _Noreturn void engine(const char *title) {
  entitle(title);
  for (int i = 0; i < number("SLEEPER_WORKERS"); i++) {
    char worker[32];
    snprintf(worker, sizeof worker, "VLLM::Worker_TP%d", i);
    pid_t pid = child(worker);
    if (pid == 0) rest();
    printf("worker %d\n", (int)pid);
  }
  printf("engine\n");
  fflush(stdout);
  rest();
}

int main(int argc, char **argv) {
  area = argv[0];
  room = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
  struct sigaction on = {.sa_handler = on_rename, .sa_flags = SA_RESTART};
  if (getenv("SLEEPER_RENAME")) sigaction(SIGUSR1, &on, NULL);
  if (!getenv("SLEEPER_ZOMBIES")) signal(SIGCHLD, SIG_IGN);
  if (getenv("SLEEPER_COMM")) prctl(PR_SET_NAME, getenv("SLEEPER_COMM"));
  for (int i = 0; i < number("SLEEPER_FORKS"); i++) {
    pid_t pid = child(NULL);
    if (pid == 0) rest();
    printf("fork %d\n", (int)pid);
  }
  const char *title = getenv("SLEEPER_CHILD");
  if (title) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) engine(title);
    printf("child %d\n", (int)pid);
  }
  printf("ready\n");
  fflush(stdout);
  rest();
}
