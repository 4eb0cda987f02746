//! The error of loading a module.

/// Why a module cannot be loaded, for its author.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not a component. The text says what it is and what to build instead.
    #[error("{0}")]
    NotAComponent(String),
    /// It is a component, but damaged or incomplete.
    #[error("it does not compile, so it is damaged or not whole: {0}")]
    Damaged(String),
    /// The module or its compilation exceeds a bound of the sandbox. The text begins with the bound's name.
    #[error("{0}")]
    Limit(String),
    /// It is a component of another world. The text names what does not fit.
    #[error("{0}")]
    OtherWorld(String),
    /// Its `describe` failed, or its result is not valid.
    #[error("{0}")]
    Describe(String),
    /// The server panicked while it loaded the module.
    #[error("loading failed inside the server, which is a bug of the server: {0}")]
    Bug(String),
    /// The bytes changed while they were read. The source offers them again.
    #[error("it changed while it was read: try again once it is complete")]
    Changed,
    /// A failure of the server, not of the module, which may load later.
    #[error("this server cannot load it: {0}")]
    Host(String),
}

/// Runs blocking work on tokio's pool of threads for that.
///
/// # Errors
/// Those of the work, and [`LoadError::Host`] if it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LoadError::Host(error.to_string())))
}
