//! Reports the gateway's state to systemd, for a unit with `Type=notify`. Elsewhere nobody asks for it.

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// Clients can connect, with the configuration as it is now.
    Ready,
    /// The configuration or the policy is read again.
    Reloading,
    /// No more connections are accepted.
    Stopping,
}

#[cfg(target_os = "linux")]
pub(super) fn report(state: State) {
    use sd_notify::NotifyState;
    let sent = match state {
        State::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // `Type=notify-reload` compares the time with that of its signal.
        State::Reloading => NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        State::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = sent {
        tracing::warn!(target: "upright", %error, "systemd cannot be reached; check NOTIFY_SOCKET");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn report(_: State) {}
