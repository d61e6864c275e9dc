/* The machine that the stand-in shows: what it is, and how it is read from the text file. See nvml.c. */
#ifndef STANDIN_NVML_STATE_H
#define STANDIN_NVML_STATE_H
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
  OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
  DRIVER_NOT_LOADED = 9, FUNCTION_NOT_FOUND = 13, ARGUMENT_VERSION_MISMATCH = 25
};
#define NA (-1LL) /* in the file: na */

#define MAX_DEVICES 64
#define MAX_FAULTS 32
#define MAX_CODES 64
typedef struct { char call[64]; int code; double seconds; int hang; } fault;
typedef struct { fault list[MAX_FAULTS]; int n; } faults;
typedef struct { unsigned pid; long long used; char kind; } process;
typedef struct {
  char name[96], uuid[96];
  long long total, reserved, used, free, util, temp, power_mw, limit_mw, mig, v2, error;
  long long mig_of, gi, ci, display; /* an instance: the number of its device, counted from 1, and its ids */
  process *list; int n, room;
  faults faults;
} device;

static struct {
  char driver[80], nvml[80];
  int cuda, init_error, n, chaos;
  unsigned long long dice;
  int codes[MAX_CODES], n_codes;
  device devices[MAX_DEVICES];
  faults faults;
} machine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct timespec seen_time;
static ino_t seen_inode;
static off_t seen_size = -1;
static int present, references, generation;
static unsigned long long calls;

static void read_fault(faults *into, const char *text) { /* NAME error CODE | NAME sleep S | NAME hang */
  if (into->n == MAX_FAULTS) return;
  fault *f = &into->list[into->n];
  memset(f, 0, sizeof *f);
  char word[16] = "";
  double value = 0;
  if (sscanf(text, "%63s %15s %lf", f->call, word, &value) < 2) return;
  if (!strcmp(word, "error")) f->code = (int)value;
  else if (!strcmp(word, "sleep")) f->seconds = value;
  else f->hang = 1;
  into->n++;
}

static void read_process(device *d, const char *text) { /* PID BYTES|na KIND */
  if (d->n == d->room) {
    d->room = d->room ? d->room * 2 : 16;
    d->list = realloc(d->list, sizeof *d->list * (size_t)d->room);
  }
  char bytes[32] = "";
  process *p = &d->list[d->n];
  if (sscanf(text, "%u %31s %c", &p->pid, bytes, &p->kind) != 3) return;
  p->used = strcmp(bytes, "na") ? atoll(bytes) : NA;
  d->n++;
}

static void read_device_line(device *d, const char *key, const char *rest) {
  struct { const char *key; long long *value; } numbers[] = {
    {"total", &d->total}, {"reserved", &d->reserved}, {"used", &d->used}, {"free", &d->free}, {"util", &d->util},
    {"temp", &d->temp}, {"power_mw", &d->power_mw}, {"limit_mw", &d->limit_mw}, {"mig", &d->mig}, {"v2", &d->v2},
    {"error", &d->error}, {"mig_of", &d->mig_of}, {"gi", &d->gi}, {"ci", &d->ci}, {"display", &d->display},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!strcmp(key, numbers[i].key)) *numbers[i].value = strcmp(rest, "na") ? atoll(rest) : NA;
  if (!strcmp(key, "name")) snprintf(d->name, sizeof d->name, "%s", rest);
  if (!strcmp(key, "uuid")) snprintf(d->uuid, sizeof d->uuid, "%s", rest);
  if (!strcmp(key, "process")) read_process(d, rest);
  if (!strcmp(key, "call")) read_fault(&d->faults, rest);
}

static void read_chaos(const char *text) { /* PER_MILLE SEED CODE,CODE,... */
  unsigned long long seed = 0;
  int length = 0;
  machine.n_codes = 0;
  if (sscanf(text, "%d %llu %n", &machine.chaos, &seed, &length) < 2) return;
  machine.dice = seed * 2862933555777941757ull + 3037000493ull;
  for (text += length; *text && machine.n_codes < MAX_CODES; text++) {
    char *after;
    machine.codes[machine.n_codes++] = (int)strtol(text, &after, 10);
    if (*after != ',') break;
    text = after;
  }
}

static void read_machine_line(const char *key, const char *rest) {
  if (!strcmp(key, "driver")) snprintf(machine.driver, sizeof machine.driver, "%s", rest);
  if (!strcmp(key, "nvml")) snprintf(machine.nvml, sizeof machine.nvml, "%s", rest);
  if (!strcmp(key, "cuda")) machine.cuda = atoi(rest);
  if (!strcmp(key, "init_error")) machine.init_error = atoi(rest);
  if (!strcmp(key, "call")) read_fault(&machine.faults, rest);
  if (!strcmp(key, "chaos")) read_chaos(rest);
}

static void read_line(char *line, device **current) {
  line[strcspn(line, "\n")] = 0;
  char *rest = strchr(line, ' ');
  if (rest) *rest++ = 0;
  else rest = "";
  if (!strcmp(line, "device") && machine.n < MAX_DEVICES) {
    *current = &machine.devices[machine.n++];
    process *list = (*current)->list;
    int room = (*current)->room;
    memset(*current, 0, sizeof **current);
    (*current)->list = list;
    (*current)->room = room;
  } else if (*current) read_device_line(*current, line, rest);
  else read_machine_line(line, rest);
}

static void reload(void) { /* the lock is held */
  const char *path = getenv("STANDIN_NVML_STATE");
  struct stat now;
  if (!path || stat(path, &now)) { present = 0; seen_size = -1; return; }
  if (now.st_size == seen_size && now.st_ino == seen_inode && now.st_mtim.tv_sec == seen_time.tv_sec &&
      now.st_mtim.tv_nsec == seen_time.tv_nsec) return;
  FILE *file = fopen(path, "r");
  if (!file) { present = 0; seen_size = -1; return; }
  machine.n = machine.init_error = machine.faults.n = machine.chaos = 0;
  device *current = NULL;
  char line[512];
  while (fgets(line, sizeof line, file)) read_line(line, &current);
  fclose(file);
  seen_size = now.st_size; seen_inode = now.st_ino; seen_time = now.st_mtim;
  present = 1;
}

static const fault *find(const faults *in, const char *call) { /* a name may end in a star */
  for (int i = 0; i < in->n; i++) {
    size_t length = strlen(in->list[i].call);
    int star = length && in->list[i].call[length - 1] == '*';
    if (star ? !strncmp(in->list[i].call, call, length - 1) : !strcmp(in->list[i].call, call)) return &in->list[i];
  }
  return NULL;
}

static void nap(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  pthread_mutex_unlock(&lock);
  nanosleep(&t, NULL);
  pthread_mutex_lock(&lock);
  reload();
}

static int suffer(const faults *in, const char *call) { /* the fault written for this call, if any */
  const fault *f = find(in, call);
  if (!f) return OK;
  if (f->seconds > 0) { nap(f->seconds); return OK; }
  while (f && f->hang) { nap(0.02); f = find(in, call); } /* for ever, or until the file no longer says so */
  return f ? f->code : OK;
}

static int throw_dice(void) { /* OK, or one of the codes: xorshift64, seeded by the file */
  if (!machine.chaos || !machine.n_codes) return OK;
  machine.dice ^= machine.dice << 13;
  machine.dice ^= machine.dice >> 7;
  machine.dice ^= machine.dice << 17;
  if ((int)(machine.dice % 1000) >= machine.chaos) return OK;
  return machine.codes[(machine.dice >> 20) % (unsigned)machine.n_codes];
}

#endif
