//! Memory that was freed goes back to the system.

/// Gives back what the allocator keeps of freed memory. glibc keeps an arena for every thread, in which a busy hour leaves
/// hundreds of megabytes; other allocators look after themselves.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim only releases memory that the allocator holds free, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
