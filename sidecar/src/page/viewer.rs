//! Who may see what is not for everybody: whoever has the viewers' password.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::html;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::layout;
use crate::app::App;

/// Asks for the password. Where there is none nobody may see it, so there is no such page.
pub(super) fn challenge(app: &App) -> Response {
    if app.config.viewer_password.is_none() {
        let body = html! {
            h1 { "Nobody may see this" }
            p { "Whoever runs this program has set no password for viewers." }
            p { a href="/" { "Back" } }
        };
        return (StatusCode::NOT_FOUND, layout::page("Not here", &body)).into_response();
    }
    let challenge = [(
        WWW_AUTHENTICATE,
        "Basic realm=\"workspaces\", charset=\"UTF-8\"",
    )];
    let body = html! {
        h1 { "Who are you?" }
        p { "Only those who have the password of viewers may see that." }
        p { a href="/" { "Back" } }
    };
    let page = layout::page("Sign in", &body);
    (StatusCode::UNAUTHORIZED, challenge, page).into_response()
}

/// Whether the request has the password, with any name.
pub(super) fn may_see(app: &App, headers: &HeaderMap) -> bool {
    let Some(password) = &app.config.viewer_password else {
        return false;
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
    given.is_some_and(|given| are_equal(&given, password))
}

/// In a time that tells neither where they differ nor how long they are.
fn are_equal(one: &SecretString, other: &SecretString) -> bool {
    let digest_of = |secret: &SecretString| digest(&SHA256, secret.expose_secret().as_bytes());
    let (one, other) = (digest_of(one), digest_of(other));
    one.as_ref().ct_eq(other.as_ref()).into()
}
