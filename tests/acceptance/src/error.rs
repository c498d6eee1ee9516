//! What can go wrong with the tools around the product.

use std::path::PathBuf;

/// A tool is missing or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A program is not there.
    #[error("{program} is missing: {mend}")]
    Missing {
        /// Which.
        program: String,
        /// What to do.
        mend: String,
    },
    /// A program failed.
    #[error("{command} ended with {status}:\n{output}")]
    Failed {
        /// The command line, without secrets.
        command: String,
        /// Its status.
        status: String,
        /// What it printed.
        output: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An answer is not what it should be.
    #[error("{0}")]
    Unexpected(String),
}

impl HarnessError {
    /// Adds the path to an I/O error.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
