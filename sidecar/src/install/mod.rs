//! Installing the app by OAuth: [`begin`] redirects a browser to Slack with a single-use state; [`finish`] receives it back and
//! exchanges the code for tokens ([`exchange`]), which are refreshed before they expire ([`refresh`]).

mod cookie;
mod exchange;
mod notice;
mod options;
mod page;
mod refresh;
mod revoke;
mod state;
mod trouble;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use backon::{ExponentialBuilder, Retryable};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use crate::database::{Install, TakenState};
use crate::error::{Error, complain};
use crate::http::path::{INSTALL, INSTALLED};
use crate::http::{Counter, Peer, count, for_request};
use crate::slack::Tenant;

pub(crate) use notice::NoticeWorkers;
pub(crate) use options::{Allowed, Installers};
pub(crate) use refresh::Keeper;

use cookie::Secret;
use page::Installed;
use revoke::revoke;
pub(crate) use state::App;
use trouble::Trouble;

/// More installations than people start per second, and how many may start at once: from one network, and in total.
const BEGINNINGS: [NonZeroU32; 2] = [NonZeroU32::new(5).unwrap(), NonZeroU32::new(50).unwrap()];
const BURSTS: [NonZeroU32; 2] = [NonZeroU32::new(50).unwrap(), NonZeroU32::new(500).unwrap()];

/// With more networks than this, old ones are removed.
const MOST_NETWORKS: usize = 10_000;

/// Limits how many installations can be started: anybody can start one, and each is a row for a while.
struct Beginnings {
    app: App,
    by_network: DefaultKeyedRateLimiter<IpAddr>,
    of_all: DefaultDirectRateLimiter,
}

impl Beginnings {
    fn may(&self, peer: Peer) -> bool {
        if self.by_network.len() > MOST_NETWORKS {
            self.by_network.retain_recent();
        }
        // A client that starts too often does not use up the common limit.
        self.by_network.check_key(&peer.network()).is_ok() && self.of_all.check().is_ok()
    }
}

pub(crate) fn router(app: App) -> Router {
    let [by_network, of_all] =
        [0, 1].map(|which| Quota::per_second(BEGINNINGS[which]).allow_burst(BURSTS[which]));
    Router::new()
        .route(INSTALL, get(begin))
        .route(INSTALLED, get(finish))
        .with_state(Arc::new(Beginnings {
            app,
            by_network: RateLimiter::keyed(by_network),
            of_all: RateLimiter::direct(of_all),
        }))
}

/// How long a browser may stay at Slack.
const VALID_FOR: Duration = Duration::from_secs(600);

/// Somebody is waiting in front of a browser.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A code can only be exchanged once, so storing the result is worth several tries.
const STORE_TRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(400))
    .with_max_times(4);

/// 32 bytes.
const TICKET_DIGITS: usize = 64;

#[derive(Deserialize)]
struct Begin {
    /// From `lockstep.issue_slack_install_ticket`: the project to connect.
    ticket: Option<String>,
}

async fn begin(
    State(state): State<Arc<Beginnings>>,
    peer: Peer,
    begin: Result<Query<Begin>, QueryRejection>,
) -> Result<Response, Trouble> {
    let Query(begin) = begin.map_err(|_| Trouble::Ticket)?;
    let app = &state.app;
    if !state.may(peer) {
        return Err(Trouble::TooMany);
    }
    let (secret, browser) = (Secret::new()?, Secret::new()?);
    let digests = [&secret, &browser].map(Secret::digest);
    let ticket = begin.ticket.as_deref().filter(|ticket| !ticket.is_empty());
    if ticket.is_some_and(|ticket| !may_be_ticket(ticket)) {
        return Err(Trouble::Ticket);
    }
    let beginning = app
        .database
        .begin_install(&digests[0], &digests[1], ticket, VALID_FOR);
    let owner = match timeout(DATABASE_TIMEOUT, beginning).await {
        Ok(Ok(owner)) => owner,
        Ok(Err(error)) if error.has_code(&SqlState::NO_DATA_FOUND) => return Err(Trouble::Ticket),
        Ok(Err(error)) => return Err(unavailable(&error)),
        Err(_) => return Err(unavailable(&Error::Silent)),
    };
    let mut url = app.slack.url("/oauth/v2/authorize");
    url.query_pairs_mut()
        .append_pair("client_id", &app.credentials.id)
        .append_pair("scope", &app.scopes.join(","))
        .append_pair("redirect_uri", app.public_url.page(INSTALLED).as_str())
        .append_pair("state", secret.text());
    let cookie = (
        SET_COOKIE,
        cookie::new(&app.public_url, &secret, &browser, VALID_FOR),
    );
    Ok(match owner {
        // A user who was sent somebody else's link must see which project it is for, before Slack asks about the app only.
        Some(owner) => (AppendHeaders([cookie]), page::confirm(&owner, &url)).into_response(),
        None => {
            let headers = AppendHeaders([(LOCATION, url.to_string()), cookie]);
            (StatusCode::FOUND, headers).into_response()
        }
    })
}

/// As `lockstep.issue_slack_install_ticket` makes them.
fn may_be_ticket(text: &str) -> bool {
    text.len() == TICKET_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[derive(Default, Deserialize)]
struct Return {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// The cookie is removed, whether it works or not.
async fn finish(
    State(state): State<Arc<Beginnings>>,
    back: Result<Query<Return>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    // Invalid parameters count as missing.
    let back = back.map(|Query(back)| back).unwrap_or_default();
    let begun = back.state.as_deref().and_then(Secret::of_text);
    let cookies = headers.get_all(COOKIE).iter();
    let browser = begun.as_ref().and_then(|begun| {
        let mut cookies = cookies.filter_map(|header| header.to_str().ok());
        cookies.find_map(|header| cookie::of_header(header, begun))
    });
    // A code can only be exchanged once: closing the page in the meantime must not leave the work half done.
    let finishing = {
        let state = Arc::clone(&state);
        async move { install(&state.app, back, browser).await }
    };
    let finished = state.app.tasks.spawn(for_request(finishing)).await;
    let finished = finished.unwrap_or_else(|error| match error.try_into_panic() {
        // Answered and counted like any other bug.
        Ok(bug) => resume_unwind(bug),
        Err(_) => Err(Trouble::Unavailable),
    });
    let outcome = match &finished {
        Ok(_) => "installed",
        Err(trouble) => trouble.name(),
    };
    count(Counter::INSTALLS, outcome);
    let removed = AppendHeaders([(
        SET_COOKIE,
        cookie::removed(&state.app.public_url, begun.as_ref()),
    )]);
    match finished {
        Ok(installed) => (removed, page::installed(&installed)).into_response(),
        Err(trouble) => (removed, trouble).into_response(),
    }
}

async fn install(app: &App, back: Return, browser: Option<Secret>) -> Result<Installed, Trouble> {
    // Slack administrators can install apps without starting here; then it is unknown who started it.
    let state = back.state.as_deref().and_then(Secret::of_text);
    let state = state.ok_or(Trouble::NoState)?;
    let browser = browser.ok_or(Trouble::OtherBrowser)?;
    let digests = [&state, &browser].map(Secret::digest);
    let taking = app.database.take_install(&digests[0], &digests[1]);
    let taken = timeout(DATABASE_TIMEOUT, taking).await;
    match taken
        .unwrap_or(Err(Error::Silent))
        .map_err(|error| unavailable(&error))?
    {
        TakenState::Valid => {}
        TakenState::Expired => return Err(Trouble::Expired),
        TakenState::OtherBrowser => return Err(Trouble::OtherBrowser),
        TakenState::Unknown => return Err(Trouble::Used),
    }
    if let Some(error) = back.error {
        info!(error, "Slack sent a browser back without a code");
        return Err(match error.as_str() {
            "access_denied" => Trouble::Denied,
            _ => Trouble::Refused,
        });
    }
    let code = back.code.ok_or(Trouble::Refused)?;
    let (install, token) = exchange::exchange(app, &code).await?;
    let may_be_new = app
        .allowed
        .has(&install.team, install.enterprise.as_deref());
    let stored = store(app, &digests[0], &install, may_be_new).await;
    if matches!(stored, Err(Trouble::UnknownWorkspace)) {
        warn!(
            team = install.team,
            user = install.user,
            "an installation without a ticket was refused: the workspace does not have the app, and --workspace does not allow it"
        );
    }
    // While the database does not respond, it may still be stored.
    if stored
        .as_ref()
        .is_err_and(|trouble| *trouble != Trouble::Unavailable)
    {
        revoke(app, &install.team, &token).await;
    }
    let (alias, replaced) = stored?;
    info!(team = install.team, alias, replaced, "installed");
    Ok(Installed {
        team: install.team,
        team_name: install.team_name,
        alias,
        replaced,
    })
}

async fn store(
    app: &App,
    state: &[u8],
    install: &Install,
    may_be_new: bool,
) -> Result<(Option<String>, Option<String>), Trouble> {
    let storing = || {
        let storing = app.database.finish_install(state, install, may_be_new);
        let stored = timeout(DATABASE_TIMEOUT, storing);
        async move { stored.await.unwrap_or(Err(Error::Silent)) }
    };
    let stored = storing
        .retry(STORE_TRIES)
        .when(|error| refusal(error).is_none() && may_pass(error))
        .notify(|error, _| complain!(error, "an installation is not stored yet"));
    let error = match stored.await {
        Ok(stored) => return Ok(stored),
        Err(error) => error,
    };
    match refusal(&error) {
        // By the previous try, whose response was lost.
        Some(Trouble::Used) if is_stored(app, install).await => Ok((None, None)),
        Some(Trouble::Used) => Err(Trouble::Ticket),
        Some(Trouble::AliasTaken) => {
            complain!(error, "an installation is not stored");
            Err(Trouble::AliasTaken)
        }
        Some(trouble) => Err(trouble),
        None => Err(unavailable(&error)),
    }
}

/// Why the function stores an installation neither now nor later.
fn refusal(error: &Error) -> Option<Trouble> {
    // A refused connection is another variant.
    let Error::Database(_) = error else {
        return None;
    };
    let reasons = [
        (
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            Trouble::UnknownWorkspace,
        ),
        // The ticket's alias belongs to another project.
        (SqlState::UNIQUE_VIOLATION, Trouble::AliasTaken),
        (SqlState::NO_DATA_FOUND, Trouble::Ticket),
        // The state was used up, possibly by another installation with the same ticket.
        (SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, Trouble::Used),
    ];
    let mut reasons = reasons.into_iter();
    let found = reasons.find(|(code, _)| error.has_code(code));
    found.map(|(_, trouble)| trouble)
}

/// Whether the database has the token of this very installation.
async fn is_stored(app: &App, install: &Install) -> bool {
    let tenant = Tenant {
        team: &install.team,
        enterprise: None,
    };
    let bot = app.database.bot(tenant).await;
    bot.is_ok_and(|bot| bot.is_some_and(|bot| bot.token.nonce == install.token.nonce))
}

fn unavailable(error: &Error) -> Trouble {
    complain!(error, "an installation failed");
    match may_pass(error) {
        true => Trouble::Unavailable,
        false => Trouble::Unstorable,
    }
}

/// Whether the same call may work in a moment.
fn may_pass(error: &Error) -> bool {
    error.is_outage() || error.is_lost_connection() || error.is_conflict()
}
