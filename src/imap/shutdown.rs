//! The end of the server, as its listeners and sessions hear of it.

use async_channel::{Receiver, Sender};

/// Tells every listener and session that the server ends. Clones wait for the same end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Closed when the server ends; nothing is ever sent.
    signal: Receiver<()>,
}

impl Shutdown {
    /// The signal, and what triggers it when it is dropped.
    #[must_use]
    pub fn new() -> (Sender<()>, Shutdown) {
        let (trigger, signal) = async_channel::bounded(1);
        (trigger, Shutdown { signal })
    }

    /// Ends when the server does.
    pub async fn wait(&self) {
        let _ = self.signal.recv().await;
    }

    /// Whether the server is ending.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.signal.is_closed()
    }
}
