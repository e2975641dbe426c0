//! Failures that somebody should look at: a job, a message or a request passed on to GitLab. They are distinguished by names, of a worker,
//! an integration or an error; texts stay in the log, since they may be people's, or secret.

/// Where the program is built with Sentry and SENTRY_DSN is set, reports it: sixty a minute at most, as an outage fails thousands.
pub(crate) fn raise(what: &'static str, names: &[(&'static str, &str)]) {
    #[cfg(feature = "sentry")]
    send(what, names);
    #[cfg(not(feature = "sentry"))]
    let _ = (what, names);
}

#[cfg(feature = "sentry")]
fn send(what: &'static str, names: &[(&'static str, &str)]) {
    use std::num::NonZeroU32;
    use std::sync::LazyLock;

    use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

    static LIMIT: LazyLock<DefaultDirectRateLimiter> = LazyLock::new(|| {
        let most = NonZeroU32::MIN.saturating_add(59);
        RateLimiter::direct(Quota::per_minute(most))
    });
    if sentry::Hub::current().client().is_none() || LIMIT.check().is_err() {
        return;
    }
    let names = names.iter().filter(|(_, name)| is_name(name));
    let names: Vec<(&str, &str)> = names.copied().collect();
    sentry::with_scope(
        |scope| {
            let mut kind = vec![what];
            for (tag, name) in &names {
                scope.set_tag(tag, name);
                kind.push(name);
            }
            scope.set_fingerprint(Some(&kind));
        },
        || sentry::capture_message(what, sentry::Level::Error),
    );
}

/// A name, and nothing that somebody wrote.
#[cfg(feature = "sentry")]
fn is_name(text: &str) -> bool {
    let is_of_name = |letter: u8| letter.is_ascii_alphanumeric() || b"_:./-".contains(&letter);
    (1..=100).contains(&text.len()) && text.bytes().all(is_of_name)
}
