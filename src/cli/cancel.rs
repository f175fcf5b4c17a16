//! Ctrl-C: the first asks the work to stop and clean up, the second ends the program at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that becomes true at the first Ctrl-C, or when the system asks the program to end (SIGTERM, SIGHUP).
pub fn on_interrupt() -> Arc<AtomicBool> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = cancelled.clone();
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    if let Err(reason) = ctrlc::set_handler(handler) {
        tracing::warn!("Ctrl-C will not clean up: {reason}");
    }
    cancelled
}
