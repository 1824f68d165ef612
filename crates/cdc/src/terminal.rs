//! Standard error, shared by log lines and progress bars.

use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{self, IsTerminal as _, Write};

/// Writes to standard error without tearing a progress bar apart.
#[derive(Clone, Debug)]
pub(crate) struct Stderr {
    bars: MultiProgress,
}

impl Stderr {
    pub(crate) fn new() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()) }
    }

    /// The bars, where a person looks at standard error.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        io::stderr().is_terminal().then_some(&self.bars)
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().lock().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
