//! What a panic does while the console has the terminal.

use std::{panic, sync::Arc};

use super::tty::Restore;

type Hook = dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync;

/// A panic of the console's own thread gives the terminal back before it is told; one of any
/// other thread is logged, and the screen stays.
pub struct PanicHook {
    before: Arc<Hook>,
}

impl PanicHook {
    pub fn install(restore: &Arc<Restore>) -> Self {
        let before: Arc<Hook> = panic::take_hook().into();
        let own = std::thread::current().id();
        let (next, restore) = (Arc::clone(&before), Arc::clone(restore));
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == own {
                restore.now();
                next(info);
            } else {
                tracing::error!(target: "panic", "a thread panicked: {info}");
            }
        }));
        Self { before }
    }
}

impl Drop for PanicHook {
    fn drop(&mut self) {
        // While a panic unwinds the hook cannot be changed; this guard outlives the unwinding.
        if !std::thread::panicking() {
            let before = Arc::clone(&self.before);
            panic::set_hook(Box::new(move |info| before(info)));
        }
    }
}
