// Chooses the next token of every text, so that only tokens leave the GPU:
//
//   allowed(t) = t is not masked, and text_from <= t < first_time or time_from <= t < time_to;
//   where the times together are likelier than the likeliest text, no text is allowed (openai/whisper, decoding.py);
//   token = argmax of logits over what is allowed, the first of equals; with a temperature above 0 the first token at which the
//           sum of exp(logit / temperature) so far reaches `uniform` of the whole sum;
//   logprob = log_softmax over what is allowed, at token; watched = log_softmax over all logits, at the token `watched`.
//
// logits (N, V); masks (V): a bit for tokens that are never written, one for those that no text begins with, one for those that
// no text with times holds; choices (N, 8) words: masks that apply, text_from, first_time, time_from, time_to, watched, and as
// floats temperature, uniform; chosen (N, 3) floats: token (exact up to 2^24), logprob, watched.
//
// Launch: a block of 512 threads for each of the N rows. The row is read twice (maxima, then sums; 100 KiB of f16 logits stay in
// L2), and twice more where it is sampled. Latency is what counts: 16 rows use 16 multiprocessors for about 10 us, next to
// the product that makes the logits. 2.3 KiB of shared memory and up to 72 registers: one block of 512 threads always fits a multiprocessor.
#include "common.cuh"

constexpr int THREADS = 512, WORDS = 8;

struct Best {
    float logit;
    int token;
};

__device__ __forceinline__ Best better(Best a, Best b) {
    return b.logit > a.logit || (b.logit == a.logit && b.token < a.token) ? b : a;
}

__device__ __forceinline__ Best block_best(Best own, float* logits, int* tokens) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        const Best other = {__shfl_xor_sync(FULL_WARP, own.logit, offset), __shfl_xor_sync(FULL_WARP, own.token, offset)};
        own = better(own, other);
    }
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    __syncthreads();
    if (lane == 0) logits[warp] = own.logit, tokens[warp] = own.token;
    __syncthreads();
    own = {logits[0], tokens[0]};
    for (int other = 1; other < THREADS / WARP; ++other) own = better(own, {logits[other], tokens[other]});
    return own;
}

struct Choice {
    unsigned masks;
    int text_from, first_time, time_from, time_to, watched;
    float temperature, uniform;
};

__device__ __forceinline__ Choice choice_of(const unsigned* words) {
    return {words[0],      (int)words[1], (int)words[2],           (int)words[3],
            (int)words[4], (int)words[5], __uint_as_float(words[6]), __uint_as_float(words[7])};
}

template <class T>
__device__ __forceinline__ void choose(const T* all, const unsigned char* masks, const unsigned* choices,
                                       float* chosen, int vocabulary) {
    __shared__ float scratch[WARP];
    __shared__ int tokens[WARP];
    __shared__ float sums[THREADS];
    __shared__ int found;
    const T* logits = all + (size_t)blockIdx.x * vocabulary;
    const Choice choice = choice_of(choices + (size_t)blockIdx.x * WORDS);
    const auto is_text = [&](int token) {
        return token >= choice.text_from && token < choice.first_time && !(masks[token] & choice.masks);
    };
    const auto is_time = [&](int token) {
        return token >= choice.first_time && token >= choice.time_from && token < choice.time_to &&
               !(masks[token] & choice.masks);
    };

    float highest = -CUDART_INF_F;
    Best text = {-CUDART_INF_F, vocabulary}, time = text;
    for (int token = threadIdx.x; token < vocabulary; token += THREADS) {
        const float logit = to_float(logits[token]);
        highest = fmaxf(highest, logit);
        if (is_text(token)) text = better(text, {logit, token});
        if (is_time(token)) time = better(time, {logit, token});
    }
    highest = block_max(highest, scratch);
    text = block_best(text, scratch, tokens);
    time = block_best(time, scratch, tokens);

    float all_sum = 0.0f, text_sum = 0.0f, time_sum = 0.0f;
    for (int token = threadIdx.x; token < vocabulary; token += THREADS) {
        const float logit = to_float(logits[token]);
        all_sum += expf(logit - highest);
        if (is_text(token) && logit > -CUDART_INF_F) text_sum += expf(logit - text.logit);
        if (is_time(token) && logit > -CUDART_INF_F) time_sum += expf(logit - time.logit);
    }
    all_sum = block_sum(all_sum, scratch);
    text_sum = block_sum(text_sum, scratch);
    time_sum = block_sum(time_sum, scratch);

    const bool only_times = time_sum > 0.0f && time.logit + logf(time_sum) > text.logit;
    const Best best = only_times ? time : better(text, time);
    float total = time_sum > 0.0f ? time_sum * expf(time.logit - best.logit) : 0.0f;
    if (!only_times && text_sum > 0.0f) total += text_sum * expf(text.logit - best.logit);

    int token = best.token < vocabulary ? best.token : 0;
    if (choice.temperature > 0.0f && total > 0.0f) {
        // Each thread sums a stretch of its own, in order.
        const int stretch = (vocabulary + THREADS - 1) / THREADS, start = threadIdx.x * stretch;
        const int end = start + stretch < vocabulary ? start + stretch : vocabulary;
        const auto weight = [&](int token) {
            const bool allowed = is_time(token) || (!only_times && is_text(token));
            return allowed ? expf((to_float(logits[token]) - best.logit) / choice.temperature) : 0.0f;
        };
        float sum = 0.0f;
        for (int place = start; place < end; ++place) sum += weight(place);
        sums[threadIdx.x] = sum;
        if (threadIdx.x == 0) found = token;
        __syncthreads();
        if (threadIdx.x == 0) {
            float whole = 0.0f;
            for (int thread = 0; thread < THREADS; ++thread) whole += sums[thread];
            float left = choice.uniform * whole;
            int thread = 0;
            while (thread < THREADS - 1 && sums[thread] < left) left -= sums[thread++];
            const int last = (thread + 1) * stretch < vocabulary ? (thread + 1) * stretch : vocabulary;
            for (int place = thread * stretch; place < last; ++place) {
                const float own = weight(place);
                left -= own;
                if (own > 0.0f) found = place;
                if (left <= 0.0f && own > 0.0f) break;
            }
        }
        __syncthreads();
        token = found;
    }
    if (threadIdx.x == 0) {
        float* out = chosen + (size_t)blockIdx.x * 3;
        out[0] = (float)token;
        out[1] = to_float(logits[token]) - (best.logit + logf(total));
        out[2] = to_float(logits[choice.watched]) - (highest + logf(all_sum));
    }
}

#define CHOOSE_TOKEN(suffix, T)                                                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS, 1) choose_token_##suffix(                                       \
        const T* __restrict__ logits, const unsigned char* __restrict__ masks, const unsigned* __restrict__ choices,   \
        float* __restrict__ chosen, int vocabulary) {                                                                  \
        choose(logits, masks, choices, chosen, vocabulary);                                                            \
    }

CHOOSE_TOKEN(f32, float)
CHOOSE_TOKEN(f16, __half)
CHOOSE_TOKEN(bf16, __nv_bfloat16)
