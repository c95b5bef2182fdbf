// A driver and a compiler of CUDA that run kernels on the processor, a group at a time: what the engine does with CUDA can be
// tried where there is no GPU. Threads of a group are contexts of one thread, which take turns at barriers.
// Built as libcuda.so.1 and libnvrtc.so.13 by simulate.sh. SIMULATED_DEVICES and SIMULATED_GENERATION (80) say what GPUs there
// are. As the real driver does, it refuses threads without a context, streams and memory of another device, and forked children.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <map>
#include <mutex>
#include <setjmp.h>
#include <sstream>
#include <string>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

struct Place {
    unsigned x, y, z;
};

// What a kernel's text sees of CUDA.
static const char *SHIM = R"(
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS // the headers of C, which are read in no time
#include <math.h>
#include <string.h>
struct Place { unsigned x, y, z; };
struct Machine { Place thread, block, grid; void (*barrier)(); };
extern "C" { Machine *machine; }
#define threadIdx machine->thread
#define blockIdx machine->block
#define gridDim machine->grid
#define __syncthreads() machine->barrier()
#define __device__
#define __global__
#define __launch_bounds__(n)
#define __shared__ static
template <typename T> static T max(T a, T b) { return a < b ? b : a; }
template <typename T> static T min(T a, T b) { return b < a ? b : a; }
static unsigned atomicAdd(unsigned *at, unsigned n) { unsigned old = *at; *at += n; return old; }
template <typename To, typename From> static To bits(From x) { To y; memcpy(&y, &x, sizeof y); return y; }
static float __uint_as_float(unsigned x) { return bits<float>(x); }
static unsigned __float_as_uint(float x) { return bits<unsigned>(x); }
static float __int_as_float(int x) { return bits<float>(x); }
static int __float_as_int(float x) { return bits<int>(x); }
static double __longlong_as_double(long long x) { return bits<double>(x); }
static long long __double_as_longlong(double x) { return bits<long long>(x); }
static float rsqrtf(float x) { return 1 / sqrtf(x); }
static double rsqrt(double x) { return 1 / sqrt(x); }
static double sinpi(double x) { return sin(M_PI * x); }
static double cospi(double x) { return cos(M_PI * x); }
)";

struct Machine {
    Place thread, block, grid;
    void (*barrier)();
};

static Machine machine;
static void (*entry)(const unsigned *, unsigned *);
static const unsigned *table;
static unsigned *status;

// A thread of a group; it lives on and takes part in every group after its first.
struct Thread {
    jmp_buf place;
    std::vector<char> stack;
    bool done;
};

static const size_t STACK = 128 << 10;
static std::vector<Thread> threads;
static jmp_buf scheduler;
static size_t turn;

// Lets the others go on.
static void barrier() {
    if (!_setjmp(threads[turn].place)) _longjmp(scheduler, 1);
}

static void live() {
    for (;;) {
        entry(table, status);
        threads[turn].done = true;
        barrier();
    }
}

// Runs the thread whose turn it is to its next barrier.
static void go_on(bool is_new) {
    if (_setjmp(scheduler)) return;
    if (!is_new) _longjmp(threads[turn].place, 1);
    ucontext_t start;
    getcontext(&start);
    start.uc_stack.ss_sp = threads[turn].stack.data();
    start.uc_stack.ss_size = STACK;
    start.uc_link = nullptr;
    makecontext(&start, live, 0);
    setcontext(&start);
}

static void run_group(unsigned count) {
    const size_t known = threads.size();
    threads.reserve(1024);
    while (threads.size() < count) threads.push_back({{}, std::vector<char>(STACK), false});
    for (unsigned t = 0; t < count; t++) threads[t].done = false;
    bool is_first = true;
    for (bool left = true; left; is_first = false) {
        left = false;
        for (turn = 0; turn < count; turn++) {
            if (threads[turn].done) continue;
            machine.thread.x = turn;
            go_on(is_first && turn >= known);
            left |= !threads[turn].done;
        }
    }
}

struct Kernel {
    void (*entry)(const unsigned *, unsigned *);
    bool has_barriers;
};

// A device with its only context; a stream is known by where it points to.
struct Device {
    int number;
};
struct Memory {
    size_t bytes;
    const Device *device;
};

static Device devices[4] = {{0}, {1}, {2}, {3}};
static thread_local Device *current;
static pid_t process;
static std::mutex lock;
static std::map<unsigned long long, Memory> memory;

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

// Whose memory all of this is; null if it is nobody's.
static const Device *owner(unsigned long long address, size_t bytes) {
    const std::lock_guard<std::mutex> held(lock);
    auto next = memory.upper_bound(address);
    if (next == memory.begin()) return nullptr;
    const auto &[begin, found] = *--next;
    return address + bytes <= begin + found.bytes ? found.device : nullptr;
}

#define IN_PROCESS if (process != getpid()) return 3
#define IN_CONTEXT IN_PROCESS; if (!current) return 201
#define ON_STREAM(stream) IN_CONTEXT; if (*(Device **)(stream) != current) return 400

extern "C" {
int cuInit(unsigned) { return process = getpid(), 0; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGetCount(int *count) { return *count = number("SIMULATED_DEVICES", 1), 0; }
int cuDeviceGet(int *device, int index) { return *device = index, 0; }
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "simulated CUDA"), 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = size_t(8) << 30, 0; }
int cuDeviceGetAttribute(int *value, int which, int) {
    const int generation = number("SIMULATED_GENERATION", 80);
    return *value = which == 75 ? generation / 10 : generation % 10, 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    IN_PROCESS;
    return *context = &devices[device], 0;
}
int cuCtxGetCurrent(void **context) {
    IN_PROCESS;
    return *context = current, 0;
}
int cuCtxSetCurrent(void *context) {
    IN_PROCESS;
    return current = (Device *)context, 0;
}
int cuStreamCreate(void **stream, unsigned) {
    IN_CONTEXT;
    return *stream = new Device *(current), 0;
}
int cuStreamSynchronize(void *stream) {
    ON_STREAM(stream);
    return 0;
}
// Everything is done at once; with SIMULATED_LOG the order that was asked for is told.
int cuEventCreate(void **event, unsigned flags) { return *event = malloc(1), flags == 2 ? 0 : 1; }
int cuEventDestroy_v2(void *event) { return free(event), 0; }
int cuEventRecord(void *event, void *stream) {
    ON_STREAM(stream);
    return event ? 0 : 400;
}
int cuStreamWaitEvent(void *stream, void *event, unsigned) {
    if (getenv("SIMULATED_LOG")) fprintf(stderr, "stream %zu waits\n", (size_t)stream);
    return event ? 0 : 400;
}
int cuCtxSynchronize() {
    IN_CONTEXT;
    if (getenv("SIMULATED_LOG")) fprintf(stderr, "all wait\n");
    return 0;
}
int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
    IN_CONTEXT;
    void *found = bytes > size_t(8) << 30 ? nullptr : aligned_alloc(512, (bytes + 511) / 512 * 512);
    if (!found) return 2;
    memset(found, 0xcd, bytes);
    const std::lock_guard<std::mutex> held(lock);
    memory[*address = (unsigned long long)found] = {bytes, current};
    return 0;
}
int cuMemFree_v2(unsigned long long address) {
    IN_CONTEXT;
    const std::lock_guard<std::mutex> held(lock);
    return memory.erase(address) ? free((void *)address), 0 : 1;
}
int cuPointerGetAttribute(void *, int, unsigned long long address) { return owner(address, 1) ? 0 : 1; }
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *stream) {
    ON_STREAM(stream);
    return owner(to, bytes) == current ? memcpy((void *)to, from, bytes), 0 : 1;
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *stream) {
    ON_STREAM(stream);
    return owner(from, bytes) == current ? memcpy(to, (const void *)from, bytes), 0 : 1;
}
int cuModuleLoadData(void **module, const void *image) {
    IN_CONTEXT;
    // The image is the name of a library, after ELF's first bytes.
    void *library = dlopen((const char *)image + 4, RTLD_NOW | RTLD_LOCAL);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 209;
    *(Machine **)dlsym(library, "machine") = &machine;
    return *module = library, 0;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    auto entry = (void (*)(const unsigned *, unsigned *))dlsym(module, name);
    return *function = new Kernel{entry, dlsym(module, "has_barriers") != nullptr}, entry ? 0 : 500;
}
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz, unsigned,
                   void *stream, void **arguments, void **) {
    ON_STREAM(stream);
    const Kernel *kernel = (const Kernel *)function;
    if (x > 2147483647u || y > 65535 || z != 1 || tx > 1024 || ty != 1 || tz != 1) return 1;
    entry = kernel->entry;
    table = *(const unsigned **)arguments[0];
    status = *(unsigned **)arguments[1];
    for (const void *operand : {(const void *)table, (const void *)status}) {
        if (owner((unsigned long long)operand, 16) != current) return 700;
    }
    machine.grid = {x, y, z};
    machine.barrier = barrier;
    for (machine.block.y = 0; machine.block.y < y; machine.block.y++) {
        for (machine.block.x = 0; machine.block.x < x; machine.block.x++) {
            if (kernel->has_barriers) {
                run_group(tx);
                continue;
            }
            for (machine.thread.x = 0; machine.thread.x < tx; machine.thread.x++) entry(table, status);
        }
    }
    return 0;
}

struct Program {
    std::string source, image, log;
    bool is_text;
};
static const int ARCHITECTURES[] = {75, 80, 90};
int nvrtcGetNumSupportedArchs(int *count) { return *count = 3, 0; }
int nvrtcGetSupportedArchs(int *list) { return memcpy(list, ARCHITECTURES, sizeof ARCHITECTURES), 0; }
int nvrtcVersion(int *major, int *minor) { return *major = 0, *minor = getpid(), 0; }
int nvrtcCreateProgram(void **program, const char *source, const char *, int, const char **, const char **) {
    return *program = new Program{source, "", "", false}, 0;
}
int nvrtcCompileProgram(void *handle, int count, const char **options) {
    static int number = 0;
    Program *program = (Program *)handle;
    bool is_known = false;
    for (int architecture : ARCHITECTURES) {
        const std::string digits = std::to_string(architecture), asked = count == 1 ? options[0] : "";
        program->is_text |= asked == "--gpu-architecture=compute_" + digits;
        is_known |= program->is_text || asked == "--gpu-architecture=sm_" + digits;
    }
    if (!is_known) return program->log = "invalid value for --gpu-architecture", 5;
    const char *folder = getenv("SIMULATED"); // simulate.sh removes it
    const std::string name =
        std::string(folder ? folder : ".") + "/kernel-" + std::to_string(getpid()) + "-" + std::to_string(number++);
    bool barriers = false;
    for (const char *call : {"workgroupBarrier()", "__syncthreads()"}) { // each is there once without being used
        barriers |= program->source.find(call, program->source.find(call) + 1) != std::string::npos;
    }
    std::ofstream(name + ".cpp") << SHIM << (barriers ? "extern \"C\" { int has_barriers = 1; }\n" : "") << program->source;
    const std::string command =
        "c++ -O1 -w -shared -fPIC -o " + name + ".so " + name + ".cpp 2> " + name + ".log";
    const int failed = system(command.c_str());
    std::stringstream log;
    log << std::ifstream(name + ".log").rdbuf();
    program->log = log.str();
    program->image = std::string("\x7f" "ELF") + name + ".so" + '\0';
    return failed ? 6 : 0;
}
int nvrtcGetProgramLogSize(void *program, size_t *size) { return *size = ((Program *)program)->log.size() + 1, 0; }
int nvrtcGetProgramLog(void *program, char *log) { return strcpy(log, ((Program *)program)->log.c_str()), 0; }
int nvrtcGetPTXSize(void *program, size_t *size) { return *size = ((Program *)program)->image.size(), 0; }
int nvrtcGetPTX(void *program, char *image) {
    const std::string &made = ((Program *)program)->image;
    return memcpy(image, made.data(), made.size()), 0;
}
int nvrtcGetCUBINSize(void *program, size_t *size) {
    return *size = ((Program *)program)->is_text ? 0 : ((Program *)program)->image.size(), 0;
}
int nvrtcGetCUBIN(void *program, char *image) { return ((Program *)program)->is_text ? 4 : nvrtcGetPTX(program, image); }
// For the library of products: whose memory an address is.
int simulated_device(const void *address) {
    const Device *device = owner((unsigned long long)address, 1);
    return device ? device->number : -1;
}
int nvrtcDestroyProgram(void **program) { return delete (Program *)*program, 0; }
}
