//! Answers that may take longer than Slack waits: then it gets a first word in time, and the answer later, at the address it gave.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{Instrument, Span, warn};

use super::message::Reply;
use crate::app::App;
use crate::serve::{Counter, count};

/// Slack waits for three seconds, of which the network takes some.
const IN_TIME: Duration = Duration::from_millis(2_000);

/// Nobody waits longer for an answer.
const LATEST: Duration = Duration::from_secs(20);

pub(super) async fn in_time(
    app: &Arc<App>,
    response_url: Option<String>,
    asking: impl Future<Output = Reply> + Send + 'static,
) -> Reply {
    let mut asking = Box::pin(asking);
    if let Ok(reply) = timeout(IN_TIME, &mut asking).await {
        return reply;
    }
    let Some(url) = response_url else {
        return too_slow();
    };
    let task = {
        let app = Arc::clone(app);
        async move {
            let reply = timeout(LATEST, asking).await.unwrap_or_else(|_| too_slow());
            let sent = app.slack.reply(&url, &reply.json()).await;
            match sent {
                Ok(()) => count(Counter::LATE, "sent"),
                Err(error) => {
                    count(Counter::LATE, "failed");
                    warn!(%error, "a late reply did not arrive");
                }
            }
        }
    };
    app.late.spawn(task.instrument(Span::current()));
    Reply::new(":hourglass_flowing_sand: The answer takes a moment longer.")
}

fn too_slow() -> Reply {
    Reply::new(
        ":warning: The database is too slow now. Nothing was changed; try again in a moment.",
    )
}
