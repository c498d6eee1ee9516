//! Notices that Terraform is gone without having said so, as after a `SIGKILL`.

/// Waits until the process that started this one is gone.
#[cfg(unix)]
pub(crate) async fn parent_gone() {
    use std::os::unix::process::parent_id;
    use std::time::Duration;

    /// How long an orphan may go unnoticed.
    const LOOK_EVERY: Duration = Duration::from_secs(1);

    let parent = parent_id();
    // An orphan is given another parent.
    while parent_id() == parent {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// There is no way to tell here, so this waits forever.
#[cfg(not(unix))]
pub(crate) async fn parent_gone() {
    std::future::pending().await
}
