//! Why bytes are no module that this server can call.

/// Why a module cannot be loaded. For its author.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not a component at all; says what it is and what to build instead.
    #[error("{0}")]
    NotAComponent(String),
    /// A component, but damaged or incomplete.
    #[error("it does not compile, so it is damaged or not whole: {0}")]
    Damaged(String),
    /// It, or what compiling it takes, is over a bound of the sandbox; begins with the bound's name.
    #[error("{0}")]
    Limit(String),
    /// A component of another world; names what does not fit.
    #[error("{0}")]
    OtherWorld(String),
    /// Its `describe` failed, or returned what is not allowed.
    #[error("{0}")]
    Describe(String),
    /// A panic of the server while it loaded the module.
    #[error("loading failed inside the server, which is a bug of the server: {0}")]
    Bug(String),
    /// It changed while it was read. It is offered again once it has not changed for a while.
    #[error("it changed while it was read: try again once it is complete")]
    Changed,
    /// No fault of the module: it may load later.
    #[error("this server cannot load it: {0}")]
    Host(String),
}

/// Runs blocking work on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LoadError::Host(error.to_string())))
}
