// The best paths of chains of gaps and tokens through CTC emissions (src/ops/ctc.rs is the definition, and its paths are
// these to the last frame: the same sums in f64, the same choice between equal ones).
//
//   token[t, i] = max(token[t-1, i], gap[t-1, i], token[t-1, i-1] if the gap may be passed over) + emission[t, column of token i]
//   gap[t, i]   = max(gap[t-1, i], token[t-1, i-1]) + emission[t, column of gap i]
//
// for the tokens that can be heard in frame t and the gaps around them; all other states are minus infinity. The path ends in
// the last token or the last gap.
//
// chains (B, 7): where the chain's emission begins, its columns, its frames, its tokens (N, at least 1), where its places
// begin, where its path begins, where its steps begin. places: for each of the N + 1 places of a chain the columns of token
// and gap, whether the gap may be passed over, and the token's first frame and the one behind its last; in order, in starts as
// in ends. steps: frames x (N + 1) bytes of a chain. path: 2 i for gap i and 2 i + 1 for token i of each frame, and nothing is
// written where there is no path: the score (B) of the path is minus infinity then.
//
// Launch: a block of 32 to 512 threads for each chain, a thread for each place or several. The scores of two frames lie in
// shared memory (32 bytes a place) where a chain has up to 1,280 places, else in `scratch` (B, 4, stride). One barrier a frame:
// bound by latency, about a microsecond a frame; chains side by side cost nothing more until the card is full. 32 to 40
// registers (51 on Turing), up to 44 KiB shared: one to three blocks on a multiprocessor. The way back is walked by one thread, in tiles of
// 64 frames and 64 places that all threads bring into shared memory.
#include "common.cuh"

constexpr int TILE = 64;
constexpr unsigned TOKEN_FROM_GAP = 1, TOKEN_FROM_TOKEN = 2, FROM = 3, GAP_FROM_TOKEN = 4;

__device__ __forceinline__ double minus_infinity() { return __longlong_as_double(0xfff0000000000000ll); }

struct Chain {
    const float* emission;
    const unsigned* places;
    unsigned char* steps;
    unsigned* path;
    int columns, frames, tokens;

    __device__ __forceinline__ Chain(const unsigned* chain, const float* emissions, const unsigned* all_places,
                                     unsigned char* all_steps, unsigned* all_paths)
        : emission(emissions + chain[0]), places(all_places + 5 * (size_t)chain[4]), steps(all_steps + chain[6]),
          path(all_paths + chain[5]), columns(chain[1]), frames(chain[2]), tokens(chain[3]) {}
    __device__ __forceinline__ unsigned token_column(int place) const { return places[5 * place]; }
    __device__ __forceinline__ unsigned gap_column(int place) const { return places[5 * place + 1]; }
    __device__ __forceinline__ bool skips(int place) const { return places[5 * place + 2] != 0; }
    __device__ __forceinline__ int start(int place) const { return places[5 * place + 3]; }
    __device__ __forceinline__ int end(int place) const { return places[5 * place + 4]; }
};

// The scores of one frame: of the tokens first .. last and the gaps first ..= last.
struct Scores {
    double *tokens, *gaps;
    int first, last;

    __device__ __forceinline__ double token(int place) const {
        return place >= first && place < last ? tokens[place] : minus_infinity();
    }
    __device__ __forceinline__ double gap(int place) const {
        return place >= first && place <= last ? gaps[place] : minus_infinity();
    }
};

// Moves one place from the frame before to `after`; gives how its states were reached.
__device__ __forceinline__ unsigned advance(const Chain& chain, int place, const float* row, const Scores& before,
                                            const Scores& after) {
    const double gap = before.gap(place), previous = before.token(place - 1);
    unsigned step = previous > gap ? GAP_FROM_TOKEN : 0;
    after.gaps[place] = (previous > gap ? previous : gap) + row[chain.gap_column(place)];
    if (place < after.last) {
        double best = before.token(place);
        unsigned from = 0;
        if (gap > best) {
            best = gap;
            from = TOKEN_FROM_GAP;
        }
        if (chain.skips(place) && previous > best) {
            best = previous;
            from = TOKEN_FROM_TOKEN;
        }
        after.tokens[place] = best + row[chain.token_column(place)];
        step |= from;
    }
    return step;
}

// Writes the path that ends in `state` (2 i or 2 i + 1). `walking` is a number in shared memory.
__device__ __forceinline__ void walk_back(const Chain& chain, int state, unsigned char (*tile)[TILE], int* walking) {
    if (threadIdx.x == 0) *walking = state;
    for (int end = chain.frames; end > 0; end -= TILE) {
        __syncthreads();
        const int top = *walking / 2, rows = min(TILE, end);
        for (int cell = threadIdx.x; cell < rows * TILE; cell += blockDim.x) {
            const int row = cell / TILE, down = cell % TILE, frame = end - 1 - row;
            // A frame moves by a place at most.
            if (down <= row && down <= top) tile[row][down] = chain.steps[(size_t)frame * (chain.tokens + 1) + top - down];
        }
        __syncthreads();
        if (threadIdx.x != 0) continue;
        int place = top;
        bool token = *walking % 2 != 0;
        for (int row = 0; row < rows; row++) {
            chain.path[end - 1 - row] = 2 * place + token;
            const unsigned step = tile[row][top - place];
            if (token) {
                token = (step & FROM) != TOKEN_FROM_GAP;
                place -= (step & FROM) == TOKEN_FROM_TOKEN;
            } else if (step & GAP_FROM_TOKEN) {
                token = true;
                place--;
            }
        }
        *walking = 2 * place + token;
    }
}

extern "C" __global__ void __launch_bounds__(512)
    ctc_viterbi(const float* __restrict__ emissions, const unsigned* __restrict__ places,
                const unsigned* __restrict__ chains, unsigned char* steps, double* scratch, unsigned* __restrict__ path,
                double* __restrict__ scores, int in_shared, int stride) {
    DYNAMIC_SHARED(double, shared);
    __shared__ unsigned char tile[TILE][TILE];
    __shared__ int walking;
    const Chain chain(chains + 7 * blockIdx.x, emissions, places, steps, path);
    double* memory = in_shared ? shared : scratch + (size_t)blockIdx.x * 4 * stride;
    Scores before{memory, memory + stride, 0, 0}, after{memory + 2 * stride, memory + 3 * stride, 0, 0};
    if (threadIdx.x == 0) before.gaps[0] = 0.0;
    __syncthreads();
    int first = 0, last = 0;
    for (int frame = 0; frame < chain.frames; frame++) {
        while (first < chain.tokens && chain.end(first) <= frame) first++;
        while (last < chain.tokens && chain.start(last) <= frame) last++;
        after.first = first;
        after.last = max(last, first);
        const float* row = chain.emission + (size_t)frame * chain.columns;
        unsigned char* taken = chain.steps + (size_t)frame * (chain.tokens + 1);
        for (int place = first + threadIdx.x; place <= after.last; place += blockDim.x)
            taken[place] = advance(chain, place, row, before, after);
        __syncthreads();
        const Scores done = after;
        after = before;
        before = done;
    }
    const double token = before.token(chain.tokens - 1), gap = before.gap(chain.tokens);
    const double best = token > gap ? token : gap;
    if (threadIdx.x == 0) scores[blockIdx.x] = best;
    if (best == minus_infinity()) return;
    walk_back(chain, token > gap ? 2 * chain.tokens - 1 : 2 * chain.tokens, tile, &walking);
}
