/* A stand-in for libnvidia-ml.so.1: the calls gpu-tui and nvitop make, answered from a text file.
 *
 * The file is named by STANDIN_NVML_STATE and read again whenever it changes, so that a test can change the
 * machine while a program runs on it. tests/standin/__init__.py writes it and documents its words. Layouts, codes
 * and the meaning of each field follow NVIDIA's nvml.h (13.x); test_standin.py compares the sizes with the binding's.
 * Strict where the driver is vague: a handle from before a shutdown is refused.
 */
#define _GNU_SOURCE
#include "nvml_state.h"

typedef void *handle_t;
typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned pid; unsigned long long used; } process_v1;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_v2;
typedef struct { unsigned gpu, memory; } rates;
typedef struct { unsigned long long total, free, used; } bar1;
typedef struct { unsigned pid; unsigned long long stamp; unsigned sm, mem, enc, dec; } sample;
typedef struct { unsigned version, sensor; int temperature; } temperature_v1;
typedef struct {
  char legacy[16]; unsigned domain, bus, device, pci_device_id, pci_subsystem_id; char bus_id[32];
} pci_info;
typedef struct {
  unsigned field, scope; long long timestamp, latency; unsigned value_type, rc; unsigned long long value;
} field_value;

static int begin(const char *call) {
  pthread_mutex_lock(&lock);
  calls++;
  reload();
  int rc = suffer(&machine.faults, call);
  if (!rc) rc = throw_dice();
  if (rc) return rc;
  if (!present) return references ? UNINITIALIZED : DRIVER_NOT_LOADED;
  return OK;
}

static int begin_running(const char *call) {
  int rc = begin(call);
  return rc ? rc : references ? OK : UNINITIALIZED;
}

static handle_t to_handle(int index) { return (handle_t)(uintptr_t)(((unsigned)generation << 8) | (unsigned)(index + 1)); }

static int begin_device(const char *call, handle_t handle, device **found) {
  int rc = begin_running(call);
  if (rc) return rc;
  uintptr_t bits = (uintptr_t)handle;
  int index = (int)(bits & 0xff) - 1;
  if ((int)(bits >> 8) != generation || index < 0 || index >= machine.n) return INVALID_ARGUMENT;
  *found = &machine.devices[index];
  if ((*found)->error) return (int)(*found)->error;
  return suffer(&(*found)->faults, call);
}

static int end(int rc) { pthread_mutex_unlock(&lock); return rc; }

static int physical(void) { /* instances of MIG stand behind the devices proper, and are not counted */
  int n = 0;
  while (n < machine.n && !machine.devices[n].mig_of) n++;
  return n;
}
static int instance_of(const device *d, unsigned index) { /* where the index-th instance of a device stands, or -1 */
  for (int i = physical(); i < machine.n; i++)
    if (machine.devices[i].mig_of == d - machine.devices + 1 && !index--) return i;
  return -1;
}

#define RUNNING(call) { int rc_ = begin_running(#call); if (rc_) return end(rc_); }
#define DEVICE(call) device *d = NULL; { int rc_ = begin_device(#call, handle, &d); if (rc_) return end(rc_); }
#define NUMBER(call, type, field)                 \
  int call(handle_t handle, type *value) {        \
    DEVICE(call)                                  \
    if ((field) == NA) return end(NOT_SUPPORTED); \
    *value = (type)(field);                       \
    return end(OK);                               \
  }
#define ABSENT(call, ...) \
  int call(handle_t handle, ##__VA_ARGS__) { DEVICE(call) (void)d; return end(NOT_SUPPORTED); }

/* for the benchmarks: how many calls were made, of whatever kind */
unsigned long long standin_calls(void) { return calls; }
size_t standin_sizeof(const char *name) {
  if (!strcmp(name, "memory_v1")) return sizeof(memory_v1);
  if (!strcmp(name, "memory_v2")) return sizeof(memory_v2);
  if (!strcmp(name, "process_v1")) return sizeof(process_v1);
  if (!strcmp(name, "process_v2")) return sizeof(process_v2);
  if (!strcmp(name, "rates")) return sizeof(rates);
  if (!strcmp(name, "bar1")) return sizeof(bar1);
  if (!strcmp(name, "sample")) return sizeof(sample);
  if (!strcmp(name, "temperature_v1")) return sizeof(temperature_v1);
  if (!strcmp(name, "pci_info")) return sizeof(pci_info);
  if (!strcmp(name, "field_value")) return sizeof(field_value);
  return 0;
}

static int start(const char *call) {
  int rc = begin(call);
  if (!rc) rc = machine.init_error;
  if (!rc && references++ == 0) generation++;
  return end(rc);
}
int nvmlInit(void) { return start("nvmlInit"); }
int nvmlInit_v2(void) { return start("nvmlInit_v2"); }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return start("nvmlInitWithFlags"); }
int nvmlShutdown(void) {
  int rc = begin("nvmlShutdown");
  if (!references) return end(UNINITIALIZED);
  references--;
  return end(rc == DRIVER_NOT_LOADED ? OK : rc);
}
const char *nvmlErrorString(int code) {
  switch (code) {
    case 19: return "In use by another client";
    case 28: return "The requested GPU was not found";
    case 999: return "Unknown Error";
    default: return "An error of the stand-in";
  }
}

static int text(char *into, unsigned size, const char *from) {
  if (strlen(from) + 1 > size) return INSUFFICIENT_SIZE;
  strcpy(into, from);
  return OK;
}
int nvmlSystemGetDriverVersion(char *into, unsigned size) {
  RUNNING(nvmlSystemGetDriverVersion) return end(text(into, size, machine.driver));
}
int nvmlSystemGetNVMLVersion(char *into, unsigned size) {
  RUNNING(nvmlSystemGetNVMLVersion) return end(text(into, size, machine.nvml));
}
int nvmlSystemGetCudaDriverVersion(int *v) { RUNNING(nvmlSystemGetCudaDriverVersion) *v = machine.cuda; return end(OK); }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { return nvmlSystemGetCudaDriverVersion(v); }
int nvmlDeviceGetCount_v2(unsigned *n) { RUNNING(nvmlDeviceGetCount_v2) *n = (unsigned)physical(); return end(OK); }
int nvmlDeviceGetCount(unsigned *n) { return nvmlDeviceGetCount_v2(n); }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle_t *out) {
  RUNNING(nvmlDeviceGetHandleByIndex_v2)
  if (index >= (unsigned)physical()) return end(INVALID_ARGUMENT);
  device *d = &machine.devices[index];
  int rc = d->error ? (int)d->error : suffer(&d->faults, "nvmlDeviceGetHandleByIndex_v2");
  *out = to_handle((int)index);
  return end(rc);
}
int nvmlDeviceGetHandleByIndex(unsigned index, handle_t *out) { return nvmlDeviceGetHandleByIndex_v2(index, out); }
int nvmlDeviceGetHandleByUUID(const char *uuid, handle_t *out) {
  RUNNING(nvmlDeviceGetHandleByUUID)
  for (int i = 0; i < machine.n; i++)
    if (!strcmp(machine.devices[i].uuid, uuid)) { *out = to_handle(i); return end((int)machine.devices[i].error); }
  return end(NOT_FOUND);
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, handle_t *out) {
  RUNNING(nvmlDeviceGetHandleByPciBusId_v2)
  for (int i = 0; i < machine.n; i++) {
    char id[32];
    snprintf(id, sizeof id, "00000000:%02X:00.0", i + 1);
    if (!strcmp(id, bus)) { *out = to_handle(i); return end((int)machine.devices[i].error); }
  }
  return end(NOT_FOUND);
}
int nvmlDeviceGetIndex(handle_t handle, unsigned *index) {
  DEVICE(nvmlDeviceGetIndex) *index = (unsigned)(d - machine.devices); return end(OK);
}
int nvmlDeviceGetMinorNumber(handle_t handle, unsigned *n) {
  DEVICE(nvmlDeviceGetMinorNumber) *n = (unsigned)(d - machine.devices); return end(OK);
}
int nvmlDeviceGetName(handle_t handle, char *into, unsigned size) {
  DEVICE(nvmlDeviceGetName) return end(text(into, size, d->name));
}
int nvmlDeviceGetUUID(handle_t handle, char *into, unsigned size) {
  DEVICE(nvmlDeviceGetUUID) return end(text(into, size, d->uuid));
}
int nvmlDeviceGetPciInfo_v3(handle_t handle, pci_info *p) {
  DEVICE(nvmlDeviceGetPciInfo_v3)
  memset(p, 0, sizeof *p);
  p->bus = (unsigned)(d - machine.devices) + 1;
  snprintf(p->legacy, sizeof p->legacy, "0000:%02X:00.0", p->bus & 0xff);
  snprintf(p->bus_id, sizeof p->bus_id, "00000000:%02X:00.0", p->bus & 0xff);
  return end(OK);
}

static unsigned long long out(long long value) { return (unsigned long long)value; } /* na becomes all ones */
int nvmlDeviceGetMemoryInfo(handle_t handle, memory_v1 *m) {
  DEVICE(nvmlDeviceGetMemoryInfo)
  m->total = out(d->total); m->free = out(d->free);
  m->used = d->used == NA ? out(NA) : out(d->used + (d->reserved == NA ? 0 : d->reserved));
  return end(OK);
}
int nvmlDeviceGetMemoryInfo_v2(handle_t handle, memory_v2 *m) {
  DEVICE(nvmlDeviceGetMemoryInfo_v2)
  if (!d->v2) return end(FUNCTION_NOT_FOUND);
  if (m->version != (sizeof *m | 2u << 24)) return end(ARGUMENT_VERSION_MISMATCH);
  m->total = out(d->total); m->reserved = out(d->reserved); m->free = out(d->free); m->used = out(d->used);
  return end(OK);
}
int nvmlDeviceGetBAR1MemoryInfo(handle_t handle, bar1 *b) {
  DEVICE(nvmlDeviceGetBAR1MemoryInfo) (void)d;
  b->total = 256ull << 20; b->used = 1ull << 20; b->free = b->total - b->used;
  return end(OK);
}
int nvmlDeviceGetUtilizationRates(handle_t handle, rates *r) {
  DEVICE(nvmlDeviceGetUtilizationRates)
  if (d->util == NA) return end(NOT_SUPPORTED);
  r->gpu = (unsigned)d->util; r->memory = (unsigned)d->util / 2;
  return end(OK);
}
int nvmlDeviceGetTemperature(handle_t handle, unsigned sensor, unsigned *value) {
  DEVICE(nvmlDeviceGetTemperature) (void)sensor;
  if (d->temp == NA) return end(NOT_SUPPORTED);
  *value = (unsigned)d->temp;
  return end(OK);
}
int nvmlDeviceGetTemperatureV(handle_t handle, temperature_v1 *t) {
  DEVICE(nvmlDeviceGetTemperatureV)
  if (t->version != (sizeof *t | 1u << 24)) return end(ARGUMENT_VERSION_MISMATCH);
  if (d->temp == NA) return end(NOT_SUPPORTED);
  t->temperature = (int)d->temp;
  return end(OK);
}
NUMBER(nvmlDeviceGetPowerUsage, unsigned, d->power_mw)
NUMBER(nvmlDeviceGetPowerManagementLimit, unsigned, d->limit_mw)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, d->limit_mw)
NUMBER(nvmlDeviceGetFanSpeed, unsigned, 30)
NUMBER(nvmlDeviceGetDisplayActive, int, d->display)
NUMBER(nvmlDeviceGetDisplayMode, int, 0)
NUMBER(nvmlDeviceGetPersistenceMode, int, 1)
NUMBER(nvmlDeviceGetPerformanceState, int, 2)
NUMBER(nvmlDeviceGetComputeMode, int, 0)
NUMBER(nvmlDeviceIsMigDeviceHandle, unsigned, d->mig_of ? 1 : 0)
NUMBER(nvmlDeviceGetMaxMigDeviceCount, unsigned, d->mig == 1 ? 7 : 0)
NUMBER(nvmlDeviceGetGpuInstanceId, unsigned, d->mig_of ? d->gi : NA)
NUMBER(nvmlDeviceGetComputeInstanceId, unsigned, d->mig_of ? d->ci : NA)
int nvmlDeviceGetMigMode(handle_t handle, unsigned *current, unsigned *pending) {
  DEVICE(nvmlDeviceGetMigMode)
  if (d->mig == NA) return end(NOT_SUPPORTED);
  *current = *pending = (unsigned)d->mig;
  return end(OK);
}
int nvmlDeviceGetMigDeviceHandleByIndex(handle_t handle, unsigned index, handle_t *o) {
  DEVICE(nvmlDeviceGetMigDeviceHandleByIndex)
  int found = instance_of(d, index);
  if (found < 0) return end(NOT_FOUND);
  *o = to_handle(found);
  return end(OK);
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle_t handle, handle_t *o) {
  DEVICE(nvmlDeviceGetDeviceHandleFromMigDeviceHandle)
  if (!d->mig_of) return end(INVALID_ARGUMENT);
  *o = to_handle((int)d->mig_of - 1);
  return end(OK);
}
int nvmlDeviceGetCudaComputeCapability(handle_t handle, int *major, int *minor) {
  DEVICE(nvmlDeviceGetCudaComputeCapability) (void)d; *major = 8; *minor = 6; return end(OK);
}
static int coder(handle_t handle, const char *call, unsigned *value, unsigned *period) {
  device *d = NULL;
  int rc = begin_device(call, handle, &d);
  if (!rc) { *value = 0; *period = 166667; }
  return end(rc);
}
int nvmlDeviceGetEncoderUtilization(handle_t h, unsigned *v, unsigned *p) { return coder(h, "nvmlDeviceGetEncoderUtilization", v, p); }
int nvmlDeviceGetDecoderUtilization(handle_t h, unsigned *v, unsigned *p) { return coder(h, "nvmlDeviceGetDecoderUtilization", v, p); }
int nvmlDeviceGetClockInfo(handle_t handle, int type, unsigned *mhz) {
  DEVICE(nvmlDeviceGetClockInfo) (void)d; (void)type; *mhz = 1777; return end(OK);
}
int nvmlDeviceGetMaxClockInfo(handle_t handle, int type, unsigned *mhz) {
  DEVICE(nvmlDeviceGetMaxClockInfo) (void)d; (void)type; *mhz = 2115; return end(OK);
}
int nvmlDeviceGetPcieThroughput(handle_t handle, int counter, unsigned *kib) {
  DEVICE(nvmlDeviceGetPcieThroughput) (void)d; (void)counter; *kib = 1000; return end(OK);
}
int nvmlDeviceGetFieldValues(handle_t handle, int n, field_value *values) {
  DEVICE(nvmlDeviceGetFieldValues) (void)d;
  for (int i = 0; i < n; i++) values[i].rc = NOT_SUPPORTED;
  return end(OK);
}
ABSENT(nvmlDeviceGetSerial, char *into, unsigned size)
ABSENT(nvmlDeviceGetTotalEccErrors, int type, int counter, unsigned long long *n)
ABSENT(nvmlDeviceGetDriverModel, int *current, int *pending)
ABSENT(nvmlDeviceGetDriverModel_v2, int *current, int *pending)

static int list(handle_t handle, const char *call, char kind, unsigned *n, void *rows, int v1) {
  device *d = NULL;
  int rc = begin_device(call, handle, &d);
  if (rc) return end(rc);
  unsigned room = *n, found = 0;
  for (int i = 0; i < d->n; i++) found += d->list[i].kind == kind;
  *n = found;
  if (found > room || (found && !rows)) return end(INSUFFICIENT_SIZE);
  unsigned at = 0;
  for (int i = 0; i < d->n; i++) {
    if (d->list[i].kind != kind) continue;
    if (v1) ((process_v1 *)rows)[at++] = (process_v1){d->list[i].pid, out(d->list[i].used)};
    else ((process_v2 *)rows)[at++] = (process_v2){d->list[i].pid, out(d->list[i].used), d->mig_of ? (unsigned)d->gi : ~0u, d->mig_of ? (unsigned)d->ci : ~0u};
  }
  return end(OK);
}
#define LIST(call, kind, v1) \
  int call(handle_t handle, unsigned *n, void *rows) { return list(handle, #call, kind, n, rows, v1); }
LIST(nvmlDeviceGetComputeRunningProcesses, 'C', 1)
LIST(nvmlDeviceGetComputeRunningProcesses_v2, 'C', 0)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, 'C', 0)
LIST(nvmlDeviceGetGraphicsRunningProcesses, 'G', 1)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, 'G', 0)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, 'G', 0)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, 'M', 1)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, 'M', 0)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, 'M', 0)

int nvmlDeviceGetProcessUtilization(handle_t handle, sample *samples, unsigned *n, unsigned long long since) {
  DEVICE(nvmlDeviceGetProcessUtilization) (void)since;
  unsigned room = *n;
  *n = (unsigned)d->n;
  if (!d->n) return end(NOT_FOUND);
  if (!samples || room < *n) return end(INSUFFICIENT_SIZE);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  for (int i = 0; i < d->n; i++)
    samples[i] = (sample){d->list[i].pid, (unsigned long long)now.tv_sec * 1000000ull, 1, 1, 0, 0};
  return end(OK);
}
