// The rules as loops that a person would write in C, on all cores: what the memory allows.
#include <math.h>
#include <pthread.h>
#include <stdint.h>

typedef struct {
    float *p, *m, *v;
    const float *g;
    int64_t size;
} Tensor;

typedef struct {
    const Tensor *tensors;
    int64_t count, steps, part, parts;
    int adamw;
} Work;

static const float LR = 1e-6f, MU = 0.9f, B1 = 0.9f, B2 = 0.999f, EPS = 1e-8f, DECAY = 0.01f;

static void sgdm(const Tensor *t, int64_t from, int64_t to) {
    float *restrict p = t->p, *restrict m = t->m;
    const float *restrict g = t->g;
    for (int64_t i = from; i < to; i++) {
        m[i] = MU * m[i] + g[i];
        p[i] -= LR * m[i];
    }
}

static void adamw(const Tensor *t, int64_t from, int64_t to) {
    float *restrict p = t->p, *restrict m = t->m, *restrict v = t->v;
    const float *restrict g = t->g;
    for (int64_t i = from; i < to; i++) {
        m[i] = B1 * m[i] + (1 - B1) * g[i];
        v[i] = B2 * v[i] + (1 - B2) * g[i] * g[i];
        p[i] = p[i] * (1 - LR * DECAY) - LR * m[i] / (sqrtf(v[i]) + EPS);
    }
}

// Each thread has the same share of all tensors taken together, at every step.
static void *work(void *argument) {
    const Work *w = argument;
    int64_t total = 0;
    for (int64_t k = 0; k < w->count; k++) total += w->tensors[k].size;
    int64_t first = total * w->part / w->parts, last = total * (w->part + 1) / w->parts;
    for (int64_t s = 0; s < w->steps; s++) {
        for (int64_t k = 0, begin = 0; k < w->count; begin += w->tensors[k].size, k++) {
            const Tensor *t = &w->tensors[k];
            int64_t from = first > begin ? first - begin : 0;
            int64_t to = last - begin < t->size ? last - begin : t->size;
            if (from < to) (w->adamw ? adamw : sgdm)(t, from, to);
        }
    }
    return 0;
}

void run(const Tensor *tensors, int64_t count, int64_t steps, int64_t threads, int is_adamw) {
    pthread_t ids[threads];
    Work shares[threads];
    for (int64_t i = 0; i < threads; i++) {
        shares[i] = (Work){tensors, count, steps, i, threads, is_adamw};
        pthread_create(&ids[i], 0, work, &shares[i]);
    }
    for (int64_t i = 0; i < threads; i++) pthread_join(ids[i], 0);
}
