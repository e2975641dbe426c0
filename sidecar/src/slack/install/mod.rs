//! The installation by OAuth: [`begin_install`] sends a browser to Slack with a state that is used once, [`finish_install`] takes it
//! back and exchanges the code for tokens ([`exchange`]).

mod exchange;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tracing::{Instrument, Span, info, warn};

use crate::app::App;
use crate::config::SCOPES;
use crate::database::{Install, TakenState, Tenant};
use crate::error::Error;
use crate::page::{self, Trouble};
use crate::serve::{Counter, INSTALLED, count};

use state::Secret;

/// How long a browser may stay at Slack.
const VALID_FOR: Duration = Duration::from_secs(600);

/// Somebody is waiting in front of a browser.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A code is exchanged once, so what it was exchanged for is worth some patience.
const STORE_TRIES: u32 = 5;

#[derive(Deserialize)]
pub(crate) struct Begin {
    /// From `lockstep.issue_slack_install_ticket`: which project is to be connected.
    ticket: Option<String>,
}

pub(crate) async fn begin_install(
    State(app): State<Arc<App>>,
    begin: Result<Query<Begin>, QueryRejection>,
) -> Result<Response, Trouble> {
    let Query(begin) = begin.map_err(|_| Trouble::Ticket)?;
    if app.beginnings.check().is_err() {
        return Err(Trouble::TooMany);
    }
    let (state, browser) = (Secret::new()?, Secret::new()?);
    let digests = [&state, &browser].map(Secret::digest);
    let ticket = begin.ticket.as_deref().filter(|ticket| !ticket.is_empty());
    let beginning = app
        .database
        .begin_install(&digests[0], &digests[1], ticket, VALID_FOR);
    let owner = match timeout(DATABASE_TIMEOUT, beginning).await {
        Ok(Ok(owner)) => owner,
        Ok(Err(error)) if error.has_code(&SqlState::NO_DATA_FOUND) => return Err(Trouble::Ticket),
        Ok(Err(error)) => return Err(unavailable(&error)),
        Err(_) => return Err(unavailable(&Error::Silent)),
    };
    let config = &app.config;
    let mut url = app.slack.url("/oauth/v2/authorize");
    url.query_pairs_mut()
        .append_pair("client_id", &config.client_id)
        .append_pair("scope", &SCOPES.join(","))
        .append_pair("redirect_uri", config.page(INSTALLED).as_str())
        .append_pair("state", state.text());
    let cookie = (SET_COOKIE, state::cookie(config, &browser, VALID_FOR));
    Ok(match owner {
        // Whoever was sent the link of somebody else's project is to see whose it is, before Slack asks about the app alone.
        Some(owner) => (AppendHeaders([cookie]), page::confirm(&owner, &url)).into_response(),
        None => {
            let headers = AppendHeaders([(LOCATION, url.to_string()), cookie]);
            (StatusCode::FOUND, headers).into_response()
        }
    })
}

#[derive(Default, Deserialize)]
pub(crate) struct Return {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// The cookie is removed however it ends.
pub(crate) async fn finish_install(
    State(app): State<Arc<App>>,
    back: Result<Query<Return>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    // What cannot be read is as good as nothing.
    let back = back.map(|Query(back)| back).unwrap_or_default();
    let cookies = headers.get_all(COOKIE).iter();
    let browser = cookies
        .filter_map(|header| header.to_str().ok())
        .find_map(state::of_cookies);
    // A code is exchanged once: whoever closes the page meanwhile must not undo that by half.
    let finishing = {
        let app = Arc::clone(&app);
        async move { finish(&app, back, browser).await }
    };
    let finished = app.late.spawn(finishing.instrument(Span::current())).await;
    let finished = finished.unwrap_or(Err(Trouble::Unavailable));
    let outcome = match &finished {
        Ok(_) => "installed",
        Err(trouble) => trouble.name(),
    };
    count(Counter::INSTALLS, outcome);
    let removed = AppendHeaders([(SET_COOKIE, state::removed_cookie(&app.config))]);
    match finished {
        Ok(installed) => (removed, page::installed(&installed)).into_response(),
        Err(trouble) => (removed, trouble).into_response(),
    }
}

/// What there is to say of an installation.
pub(crate) struct Installed {
    pub(crate) team: String,
    pub(crate) team_name: String,
    /// What was connected, if anything was.
    pub(crate) alias: Option<String>,
}

async fn finish(app: &App, back: Return, browser: Option<Secret>) -> Result<Installed, Trouble> {
    // Slack's administrators can install apps without coming by here first; then nobody knows what they came from.
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
    let install = exchange::exchange(app, &code).await?;
    let alias = store(app, &digests[0], &install).await?;
    info!(team = install.team, alias, "installed");
    Ok(Installed {
        team: install.team,
        team_name: install.team_name,
        alias,
    })
}

async fn store(app: &App, state: &[u8], install: &Install) -> Result<Option<String>, Trouble> {
    let mut tries = 0;
    loop {
        let storing = app.database.finish_install(state, install);
        let stored = timeout(DATABASE_TIMEOUT, storing).await;
        let error = match stored.unwrap_or(Err(Error::Silent)) {
            Ok(alias) => return Ok(alias),
            Err(error) => error,
        };
        // The ticket names an alias that another project has.
        if error.has_code(&SqlState::UNIQUE_VIOLATION) {
            warn!(error = %error.report(), "an installation was not stored");
            return Err(Trouble::AliasTaken);
        }
        if error.has_code(&SqlState::NO_DATA_FOUND) {
            return Err(Trouble::Ticket);
        }
        // The state is used up: by the try before, whose answer was lost, or by another installation with the same ticket.
        if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) {
            return match is_stored(app, install).await {
                true => Ok(None),
                false => Err(Trouble::Ticket),
            };
        }
        tries += 1;
        if tries == STORE_TRIES {
            return Err(unavailable(&error));
        }
        warn!(error = %error.report(), "an installation is not stored as yet");
        sleep(Duration::from_millis(200) * 2_u32.pow(tries)).await;
    }
}

/// Whether the token of this very installation is the one in the database.
async fn is_stored(app: &App, install: &Install) -> bool {
    let tenant = Tenant {
        team: &install.team,
        enterprise: None,
    };
    let bot = app.database.bot(tenant).await;
    bot.is_ok_and(|bot| bot.is_some_and(|bot| bot.token.nonce == install.token.nonce))
}

fn unavailable(error: &Error) -> Trouble {
    warn!(error = %error.report(), "an installation failed");
    Trouble::Unavailable
}
