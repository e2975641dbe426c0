//! Retries of calls that Slack does not accept at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::client::CallError;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Calls until Slack accepts it, reports a permanent error, or time is up; at most once more if the program is stopping. The
/// caller decides whether a failed call may be repeated: it may have had its effect.
pub(crate) async fn insist<T, F>(
    longest: Duration,
    stop: &CancellationToken,
    mut may_repeat: impl FnMut(&CallError) -> bool,
    mut call: impl FnMut() -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let until = Instant::now() + longest;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !error.is_transient() || !may_repeat(&error) {
            return Err(error);
        }
        let wait = match &error {
            CallError::RateLimited(asked) => *asked,
            _ => pause,
        };
        if Instant::now() + wait > until {
            return Err(error);
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return Err(error),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::time::{Instant, pause};
    use tokio_util::sync::CancellationToken;

    use super::insist;
    use crate::error::Error;
    use crate::slack::CallError;

    /// The result of calls with these responses, their number, and the seconds it takes.
    fn insisted(
        calls: &[Result<(), CallError>],
    ) -> Result<(Result<(), CallError>, usize, u64), Error> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(async {
            // From now on time advances when nothing else can run.
            pause();
            let begun = Instant::now();
            let mut made = 0;
            let outcome = insist(
                Duration::from_secs(100),
                &CancellationToken::new(),
                |error| !matches!(error, CallError::Garbled),
                || {
                    let answer = calls[made.min(calls.len() - 1)].clone();
                    made += 1;
                    async { answer }
                },
            )
            .await;
            (outcome, made, begun.elapsed().as_secs())
        }))
    }

    #[test]
    fn calls_are_made_again_within_limits() -> Result<(), Error> {
        let limited = |seconds| CallError::RateLimited(Duration::from_secs(seconds));
        let down = CallError::Status(503);
        for (calls, expected) in [
            (vec![Ok(())], (Ok(()), 1, 0)),
            (
                vec![
                    Err(limited(30)),
                    Err(down.clone()),
                    Err(down.clone()),
                    Ok(()),
                ],
                (Ok(()), 4, 36),
            ),
            // It would take too long, may not be repeated, or is pointless.
            (vec![Err(limited(101))], (Err(limited(101)), 1, 0)),
            (
                vec![Err(CallError::Garbled)],
                (Err(CallError::Garbled), 1, 0),
            ),
            (
                vec![Err(CallError::Status(404)), Ok(())],
                (Err(CallError::Status(404)), 1, 0),
            ),
            // 1, 2, 4, 8, 16 and 32 s are 63 s.
            (vec![Err(down.clone())], (Err(down.clone()), 7, 63)),
        ] {
            assert_eq!(insisted(&calls)?, expected, "{calls:?}");
        }
        Ok(())
    }
}
