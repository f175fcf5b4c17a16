//! Decoding, from bytes to 16 kHz samples: files written here, the project's odd files where they are, and damaged ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "decode/forge.rs"]
mod forge;
#[path = "decode/hostile.rs"]
mod hostile;
#[path = "decode/odd.rs"]
mod odd;
mod support;
#[path = "decode/written.rs"]
mod written;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = written::trials();
    trials.extend(odd::trials());
    trials.extend(hostile::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// Counts the bytes that each thread holds, to prove that memory stays bounded.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(grown: usize, shrunk: usize) {
    // A thread that is ending has no counters left, and nobody asks for them.
    let _ = HELD.try_with(|held| {
        held.set((held.get() + grown).saturating_sub(shrunk));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the pointer came from this allocator, which is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the pointer came from this allocator, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work` and returns with its result the bytes that this thread held at the peak beyond those before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    PEAK.set(0);
    let result = work();
    (result, PEAK.get())
}
