//! Who may see restricted pages: anybody with the viewers' password.

use std::time::Instant;

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::html;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::state::App;
use crate::http::{self, Peer};

/// Who may not see it, and the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// There is no password.
    Always,
    /// A missing or wrong password.
    Unknown,
    /// Too many were wrong.
    Guessing,
}

impl IntoResponse for Stranger {
    fn into_response(self) -> Response {
        let (status, title, words) = match self {
            // Nobody may see it, so there is no such page.
            Self::Always => (
                StatusCode::NOT_FOUND,
                "Nobody may see this",
                "No password for viewers is configured.",
            ),
            Self::Unknown => (
                StatusCode::UNAUTHORIZED,
                "Sign in",
                "This page needs the viewers' password.",
            ),
            Self::Guessing => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong passwords",
                "Passwords from your address are not checked for a minute.",
            ),
        };
        let body = html! {
            h1 { (title) }
            p { (words) }
            p { a href="/" { "Back" } }
        };
        let mut response = (status, http::page(title, &body)).into_response();
        if self == Self::Unknown {
            let challenge = "Basic realm=\"workspaces\", charset=\"UTF-8\"";
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Whether the request has the password, with any user name.
pub(super) fn check(app: &App, peer: Peer, headers: &HeaderMap) -> Result<(), Stranger> {
    let Some(password) = &app.viewer_password else {
        return Err(Stranger::Always);
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, pair) = value.to_str().ok()?.split_once(' ')?;
        let pair = STANDARD.decode(pair.trim()).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (_, given) = pair.split_once(':')?;
        scheme
            .eq_ignore_ascii_case("basic")
            .then(|| SecretString::from(given))
    });
    let given = given.ok_or(Stranger::Unknown)?;
    let Peer(address) = peer;
    let now = Instant::now();
    if !app.guesses.may(address, now) {
        return Err(Stranger::Guessing);
    }
    match are_equal(&given, password) {
        true => Ok(()),
        false => {
            app.guesses.count(address, now);
            Err(Stranger::Unknown)
        }
    }
}

/// In a time that reveals neither where they differ nor how long they are.
fn are_equal(one: &SecretString, other: &SecretString) -> bool {
    let digest_of = |secret: &SecretString| digest(&SHA256, secret.expose_secret().as_bytes());
    let (one, other) = (digest_of(one), digest_of(other));
    one.as_ref().ct_eq(other.as_ref()).into()
}
