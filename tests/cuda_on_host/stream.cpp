// Streams, events, and graphs: work is done as it comes, so waiting has nothing to wait for; what a capture forbids is refused.
#include "driver.h"

using namespace gpu;

namespace {

// The two streams that have no object of their own.
CUstream_st legacy, per_thread;
// Never destroyed (driver.h).
std::set<CUgraph>& captures = *new std::set<CUgraph>;
std::set<CUstream_st*>& streams = *new std::set<CUstream_st*>{&legacy, &per_thread};
thread_local std::set<CUgraph> own_captures;

CUstream_st& stream_of(CUstream stream) {
    if (stream == nullptr || stream == CU_STREAM_LEGACY) return legacy;
    if (stream == CU_STREAM_PER_THREAD) return per_thread;
    return *stream;
}

void free_memory(const CUgraph_st& graph) {
    for (const auto& [address, freed] : graph.memory) cuMemFreeAsync(address, nullptr);
}

} // namespace

namespace gpu {

CUgraph capture_of(CUstream stream) { return stream_of(stream).capture; }

bool forbidden_by_capture() {
    for (CUgraph capture : captures) {
        const bool own = own_captures.count(capture);
        if (capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL || (own && capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)) {
            refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a call that waits for the GPU, or allocates, during a capture");
            return capture->broken = true;
        }
    }
    return false;
}

CUresult submit(CUstream stream, std::function<void()> work) {
    CUgraph capture = capture_of(stream);
    if (!capture) work();
    else if (capture->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else capture->work.push_back(std::move(work));
    return CUDA_SUCCESS;
}

} // namespace gpu

API cuStreamCreate(CUstream* stream, unsigned) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    *stream = new CUstream_st;
    streams.insert(*stream);
    return CUDA_SUCCESS;
}

API cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

API cuStreamDestroy(CUstream stream) {
    Lock held(lock());
    streams.erase(stream);
    delete stream;
    return CUDA_SUCCESS;
}

API cuStreamSynchronize(CUstream stream) {
    Lock held(lock());
    if (CUgraph capture = capture_of(stream)) {
        capture->broken = true;
        return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a capture waits for its own stream");
    }
    return ready();
}

API cuStreamQuery(CUstream) { return ready(); }

API cuEventCreate(CUevent* event, unsigned) {
    if (CUresult result = ready()) return result;
    *event = new CUevent_st;
    return CUDA_SUCCESS;
}

API cuEventDestroy(CUevent event) {
    delete event;
    return CUDA_SUCCESS;
}

API cuEventRecord(CUevent event, CUstream stream) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    event->recorded = true;
    event->capture = capture_of(stream);
    event->time = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
}

API cuEventSynchronize(CUevent event) {
    Lock held(lock());
    if (event->capture) return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "waiting for an event of a capture");
    return ready();
}

API cuEventQuery(CUevent) { return ready(); }

API cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    if (!start->recorded || !end->recorded) return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return CUDA_SUCCESS;
}

API cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    CUstream_st& waiting = stream_of(stream);
    if (waiting.capture && event->recorded && event->capture != waiting.capture) {
        waiting.capture->broken = true;
        return refuse(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a capture waits for an event that was recorded outside of it");
    }
    if (event->capture && captures.count(event->capture)) waiting.capture = event->capture;
    return CUDA_SUCCESS;
}

API cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
    Lock held(lock());
    return submit(stream, [=] { function(data); });
}

API cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    CUstream_st& captured = stream_of(stream);
    if (&captured == &legacy || captured.capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    captured.capture = new CUgraph_st;
    captured.capture->mode = mode;
    captured.capture->origin = stream;
    captures.insert(captured.capture);
    own_captures.insert(captured.capture);
    return CUDA_SUCCESS;
}

API cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
    Lock held(lock());
    CUgraph capture = capture_of(stream);
    *status = !capture          ? CU_STREAM_CAPTURE_STATUS_NONE
              : capture->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

API cuStreamEndCapture(CUstream stream, CUgraph* graph) {
    Lock held(lock());
    *graph = nullptr;
    CUgraph capture = capture_of(stream);
    if (!capture || capture->origin != stream) return CUDA_ERROR_ILLEGAL_STATE;
    for (CUstream_st* other : streams)
        if (other->capture == capture) other->capture = nullptr;
    captures.erase(capture);
    own_captures.erase(capture);
    if (capture->broken) {
        free_memory(*capture);
        delete capture;
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    *graph = capture;
    return CUDA_SUCCESS;
}

API cuGraphInstantiate(CUgraphExec* executable, CUgraph graph, unsigned long long flags) {
    Lock held(lock());
    *executable = new CUgraphExec_st{*graph, (flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0};
    return CUDA_SUCCESS;
}

API cuGraphUpload(CUgraphExec, CUstream) { return ready(); }

API cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    Lock held(lock());
    if (CUresult result = ready()) return result;
    for (const auto& [address, freed] : executable->graph.memory) {
        if (!freed && executable->launched && !executable->frees_itself)
            return refuse(CUDA_ERROR_INVALID_VALUE, "a graph is launched again whose memory has not been freed");
    }
    executable->launched = true;
    return submit(stream, [executable] {
        const auto start = std::chrono::steady_clock::now();
        for (const auto& work : executable->graph.work) work();
        count("graph", start);
    });
}

API cuGraphExecDestroy(CUgraphExec executable) {
    Lock held(lock());
    delete executable;
    return CUDA_SUCCESS;
}

API cuGraphDestroy(CUgraph graph) {
    Lock held(lock());
    free_memory(*graph);
    delete graph;
    return CUDA_SUCCESS;
}
