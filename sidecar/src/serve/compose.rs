//! Everything that serves requests, sends messages and runs jobs, composed from the configuration. No other room knows all of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tracing::warn;

use super::collect::Collector;
use super::config::Config;
use super::drift;
use super::health::{self, Health};
use super::history;
use super::keys::{Fit, KeyCheck};
use super::workers::All;
use crate::database::{LostBackfills, SlackDatabase};
use crate::error::Error;
use crate::http::{self, Problem};
use crate::install::Keeper;
use crate::interrupt::Finishing;
use crate::late::{self, Late};
use crate::notification::{Delivering, Publisher};
use crate::pass_through::{self, PassThrough};
use crate::slack::SlackClient;
use crate::spool::Spool;
use crate::{chatops, command, event, home, install, notification, page};

/// Slack's timeout is three seconds.
const DEADLINE: Duration = Duration::from_millis(2_800);

/// Jobs wait for Slack most of the time.
const JOB_SESSIONS: usize = 4;

/// One reports while the other checks for drift, which takes long.
const STATUS_SESSIONS: usize = 2;

pub(super) struct Parts {
    pub(super) config: Config,
    /// For Slack, GitLab, browsers and load balancers.
    pub(super) public: Router,
    /// For Prometheus and administrators.
    pub(super) admin: Router,
    pub(super) workers: Arc<All>,
    pub(super) delivering: Delivering,
    /// GitLab's webhooks, those in the spool included.
    pub(super) hooks: Arc<notification::App>,
    pub(super) keeper: Keeper,
    /// Where to count the rows that differ, and how often.
    pub(super) drift: Option<(SlackDatabase, Duration)>,
    pub(super) for_history: SlackDatabase,
    pub(super) lost_backfills: LostBackfills,
    pub(super) pass_through: Option<Arc<PassThrough>>,
    /// Nothing is claimed before, nor while they do not fit.
    pub(super) key_check: KeyCheck,
    /// Work that continues after its request.
    pub(super) finishing: Finishing,
    /// From then on load balancers should use other processes.
    pub(super) draining: CancellationToken,
}

impl Parts {
    pub(super) fn new(config: Config, metrics: PrometheusHandle) -> Result<Self, Error> {
        let open = |sessions| SlackDatabase::new(&config.address, &config.schema, sessions);
        // For requests; slow work has its own sessions, so that it holds up no request.
        let database = open(config.sessions)?;
        let for_jobs = open(config.job_concurrency.clamp(1, JOB_SESSIONS))?;
        let slack = SlackClient::new(&config.slack_url)?;
        let spool = config.spool.as_ref().map(Spool::open).transpose()?;
        let finishing = Finishing::default();
        let (fit, keys) = watch::channel(Fit::Unknown);
        let draining = CancellationToken::new();
        let wake = Arc::new(Notify::new());
        let unreadable = Arc::new(Notify::new());
        let late = Arc::new(Late {
            database: database.clone(),
            slack: slack.clone(),
            finishing: finishing.clone(),
        });
        let pass_through = PassThrough::new(
            &config.pass_through,
            Arc::clone(&late),
            config.signing_secret.clone(),
        )?;
        let chatops = Arc::new(chatops::App {
            environments: chatops::Environments::new(&config.chatops.environments, &config.schema)?,
            settings: Arc::clone(&config.chatops),
            database: database.clone(),
            for_jobs: for_jobs.clone(),
            slack: slack.clone(),
            token_keys: Arc::clone(&config.token_keys),
            finishing: finishing.clone(),
        });
        let teams = chatops::TeamWorkers(Arc::clone(&chatops));
        let home = Arc::new(home::App {
            database: database.clone(),
            for_jobs: for_jobs.clone(),
            slack: slack.clone(),
            signing_secret: config.signing_secret.clone(),
            token_keys: Arc::clone(&config.token_keys),
            public_url: config.public_url.clone(),
            managers: Arc::clone(&config.managers),
            pass_through: pass_through.clone(),
            others: vec![home::Other {
                action: chatops::LARGE_STEP_BUTTON,
                command: chatops::COMMAND,
                answer: {
                    let chatops = Arc::clone(&chatops);
                    Box::new(move |slash| Box::pin(chatops::reply(Arc::clone(&chatops), slash)))
                },
            }],
            late: Arc::clone(&late),
        });
        let command = command::router(command::App {
            database: database.clone(),
            signing_secret: config.signing_secret.clone(),
            public_url: config.public_url.clone(),
            managers: Arc::clone(&config.managers),
            others: vec![command::Other {
                name: chatops::COMMAND,
                counted: "chatops",
                answer: Box::new(move |slash| {
                    Box::pin(chatops::reply(Arc::clone(&chatops), slash))
                }),
            }],
            pass_through: pass_through.clone(),
            aliases: command::Aliases::default(),
            late,
        });
        let event = event::router(event::App {
            database: database.clone(),
            signing_secret: config.signing_secret.clone(),
            pass_through: pass_through.clone(),
        });
        let hooks = Arc::new(notification::App {
            secrets: config.hook_secrets.clone(),
            database: database.clone(),
            publisher: Publisher::new(database.clone(), finishing.tasks.clone(), spool.clone()),
            spool: spool.clone(),
        });
        let install = install::router(install::App {
            database: database.clone(),
            slack: slack.clone(),
            credentials: config.credentials.clone(),
            token_keys: Arc::clone(&config.token_keys),
            public_url: config.public_url.clone(),
            scopes: config.scopes.clone(),
            allowed: config.allowed.clone(),
            tasks: finishing.tasks.clone(),
        });
        let for_status = open(STATUS_SESSIONS)?;
        // Where there is much to make up for, it takes long, and holds up no page.
        let for_history = open(1)?.within(history::LONGEST);
        let for_deliveries =
            SlackDatabase::for_deliveries(&config.address, &config.schema, Arc::clone(&wake))?;
        let for_metrics = open(1)?;
        let pools = vec![
            ("requests", database.clone()),
            ("jobs", for_jobs.clone()),
            ("deliveries", for_deliveries.clone()),
            ("status", for_status.clone()),
            ("history", for_history.clone()),
            ("metrics", for_metrics.clone()),
        ];
        let page = page::router(page::App::new(
            database,
            for_status,
            config.viewer_password.clone(),
            config.scopes.clone(),
            pass_through.clone(),
            spool.clone(),
        ));
        let from_slack = command
            .merge(event)
            .merge(home::router(Arc::clone(&home)))
            .layer(from_fn(in_time));
        let pages = install.merge(page).layer(from_fn(http::protect));
        let (public_health, admin) = health::routers(Health {
            // Requests that wait for a lock are no reason to count as dead.
            database: open(1)?,
            collector: Collector::new(metrics, for_metrics, pools, spool.clone()),
            draining: draining.clone(),
            keys,
            spool,
        });
        let public = from_slack
            .merge(notification::router(Arc::clone(&hooks)))
            .merge(pages)
            .merge(public_health)
            .method_not_allowed_fallback(method_not_allowed)
            .fallback(not_found);
        let replies = late::ReplyWorkers {
            slack: slack.clone(),
        };
        let notices = install::NoticeWorkers {
            database: for_jobs.clone(),
            slack: slack.clone(),
            token_keys: Arc::clone(&config.token_keys),
        };
        let reminders = notification::ReminderWorkers {
            database: for_jobs.clone(),
            gitlab: config
                .pass_through
                .external
                .as_ref()
                .map(ToString::to_string),
        };
        Ok(Self {
            public: observed(public),
            admin: admin.layer(http::catch_panics()),
            workers: Arc::new(All(vec![
                Arc::new(home::HomeWorkers::new(home)),
                Arc::new(replies),
                Arc::new(notices),
                Arc::new(teams),
                Arc::new(reminders),
            ])),
            key_check: KeyCheck {
                database: for_jobs.clone(),
                keys: Arc::clone(&config.token_keys),
                fit,
                unreadable: Arc::clone(&unreadable),
            },
            delivering: Delivering {
                database: for_deliveries,
                wake,
                slack: slack.clone(),
                token_keys: Arc::clone(&config.token_keys),
                unreadable,
                most: config.deliveries,
                workspace_rate: config.workspace_rate,
                grace: config.grace,
            },
            hooks,
            keeper: Keeper {
                for_jobs,
                slack,
                credentials: config.credentials.clone(),
                token_keys: Arc::clone(&config.token_keys),
            },
            drift: match config.drift_period.is_zero() {
                true => None,
                false => Some((open(1)?.within(drift::LONGEST), config.drift_period)),
            },
            for_history,
            lost_backfills: LostBackfills::new(&config.address)?,
            pass_through,
            finishing,
            draining,
            config,
        })
    }
}

/// A bug is answered, and its request counted, as any other.
pub(super) fn observed(router: Router) -> Router {
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn(http::observe))
            .layer(http::catch_panics()),
    )
}

/// The answer to a request of Slack's, before Slack gives up.
async fn in_time(request: Request, next: Next) -> Result<Response, Problem> {
    pass_through::refuse_own(request.headers())?;
    let answered = timeout(DEADLINE, next.run(request)).await;
    answered.map_err(|_| {
        warn!("no answer in time");
        Problem::unavailable()
    })
}

async fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "This page does not exist.").into_response()
}

async fn method_not_allowed() -> Response {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address needs another method.",
    )
    .into_response()
}
