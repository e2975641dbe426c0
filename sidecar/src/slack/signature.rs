//! Verifies that a request comes from Slack: an HMAC over the time and the bytes of the body, with a shared secret.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::replay::Seen;

const TIMESTAMP: HeaderName = HeaderName::from_static("x-slack-request-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-slack-signature");

/// The tolerated clock difference to Slack in either direction, in seconds.
const TOLERANCE: u64 = 300;

/// The signing secret of the app, and the recent signatures.
#[derive(Clone)]
pub(crate) struct SigningSecret {
    key: hmac::Key,
    seen: Arc<Seen>,
}

/// Why a request is not accepted as Slack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A header is missing, duplicated, or malformed.
    Unsigned,
    /// Signed too long ago, or in the future.
    Stale,
    /// Signed by somebody else, or modified on the way.
    Forged,
}

impl Refusal {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Stale => "stale",
            Self::Forged => "forged",
        }
    }
}

impl SigningSecret {
    /// An empty secret is not accepted: anybody could sign with it.
    pub(crate) fn new(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret().trim();
        (!secret.is_empty()).then(|| Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            seen: Arc::default(),
        })
    }

    /// Whether a request may be signed, according to its headers: if not, its body need not be read.
    pub(crate) fn may_be_signed(headers: &HeaderMap, now: SystemTime) -> Result<(), Refusal> {
        let signature = only(headers, &SIGNATURE).and_then(|value| decoded(value.as_bytes()));
        let at = only(headers, &TIMESTAMP).and_then(seconds);
        match (signature, at) {
            (Some(_), Some(at)) if is_recent(at, now) => Ok(()),
            (Some(_), Some(_)) => Err(Refusal::Stale),
            _ => Err(Refusal::Unsigned),
        }
    }

    /// Verifies the signature over the raw bytes of the body, in constant time.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let timestamp = only(headers, &TIMESTAMP).ok_or(Refusal::Unsigned)?;
        let signature = only(headers, &SIGNATURE)
            .and_then(|value| decoded(value.as_bytes()))
            .ok_or(Refusal::Unsigned)?;
        let at = seconds(timestamp).ok_or(Refusal::Unsigned)?;
        let expected = self.tag(timestamp, body);
        let is_slacks = expected.as_ref().ct_eq(&signature);
        match (is_slacks.into(), is_recent(at, now)) {
            (false, _) => Err(Refusal::Forged),
            (true, false) => Err(Refusal::Stale),
            (true, true) => Ok(()),
        }
    }

    /// Whether a verified request arrives for the first time.
    pub(super) fn is_first(&self, headers: &HeaderMap, now: SystemTime) -> bool {
        let signature = only(headers, &SIGNATURE).and_then(|value| decoded(value.as_bytes()));
        let at = only(headers, &TIMESTAMP).and_then(seconds);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        at.zip(signature).is_some_and(|(at, signature)| {
            self.seen
                .is_first(at, signature, now.saturating_sub(TOLERANCE))
        })
    }

    /// Signs another body instead of the original one, with the same time.
    pub(super) fn sign_again(&self, headers: &mut HeaderMap, body: &[u8]) {
        let Some(timestamp) = headers.get(&TIMESTAMP) else {
            return;
        };
        let tag = self.tag(timestamp, body);
        let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
        let signature = HeaderValue::try_from(format!("v0={}", digits.collect::<String>()));
        if let Ok(signature) = signature {
            headers.insert(SIGNATURE, signature);
        }
    }

    /// The headers of a request that is signed like one from Slack.
    pub(crate) fn sign(&self, body: &[u8], now: SystemTime) -> HeaderMap {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP, HeaderValue::from(now));
        self.sign_again(&mut headers, body);
        headers
    }

    fn tag(&self, timestamp: &HeaderValue, body: &[u8]) -> hmac::Tag {
        let mut signed = hmac::Context::with_key(&self.key);
        for part in [b"v0:", timestamp.as_bytes(), b":", body] {
            signed.update(part);
        }
        signed.sign()
    }
}

fn seconds(timestamp: &HeaderValue) -> Option<u64> {
    let text = timestamp.to_str().ok()?;
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

fn is_recent(at: u64, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    at.abs_diff(now) <= TOLERANCE
}

/// The value of a header that occurs exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The bytes of `v0=` and 64 lower-case hexadecimal digits; upper case, which Slack never sends, would be a second form of the
/// same signature.
fn decoded(value: &[u8]) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = value.strip_prefix(b"v0=")?.try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

/// Headers as Slack would send them with a body, for tests and the fuzz target.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn signed_headers(secret: &str, body: &[u8], at: SystemTime) -> [(String, String); 2] {
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &[format!("v0:{at}:").as_bytes(), body].concat());
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    [
        ("x-slack-request-timestamp".to_owned(), at.to_string()),
        (
            "x-slack-signature".to_owned(),
            format!("v0={}", digits.collect::<String>()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use axum::http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::{Refusal, SIGNATURE, SigningSecret, TIMESTAMP, signed_headers};

    // The example in Slack's documentation, "Verifying requests from Slack".
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: u64 = 1_531_420_618;
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNED: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn secret(text: &str) -> Option<SigningSecret> {
        SigningSecret::new(&SecretString::from(text))
    }

    fn verify(timestamp: &[u8], signature: &[u8], body: &[u8], now: u64) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(TIMESTAMP, timestamp), (SIGNATURE, signature)] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.insert(name, value);
            }
        }
        let now = UNIX_EPOCH + Duration::from_secs(now);
        secret(SECRET).map_or(Err(Refusal::Forged), |secret| {
            secret.verify(&headers, body, now)
        })
    }

    #[test]
    fn example_of_the_documentation_is_accepted() {
        let timestamp = AT.to_string();
        for now in [AT - 300, AT, AT + 300] {
            let verified = verify(
                timestamp.as_bytes(),
                SIGNED.as_bytes(),
                BODY.as_bytes(),
                now,
            );
            assert_eq!(verified, Ok(()), "{now}");
        }
        for now in [AT - 301, AT + 301, 0, u64::MAX >> 2] {
            let verified = verify(
                timestamp.as_bytes(),
                SIGNED.as_bytes(),
                BODY.as_bytes(),
                now,
            );
            assert_eq!(verified, Err(Refusal::Stale), "{now}");
        }
    }

    #[test]
    fn any_bit_that_differs_is_refused() {
        let timestamp = AT.to_string();
        let parts: [&[u8]; 3] = [timestamp.as_bytes(), SIGNED.as_bytes(), BODY.as_bytes()];
        for (part, bytes) in parts.iter().enumerate() {
            for bit in 0..bytes.len() * 8 {
                let mut changed = parts.map(<[u8]>::to_vec);
                changed[part][bit / 8] ^= 1 << (bit % 8);
                let [timestamp, signature, body] = &changed;
                let verified = verify(timestamp, signature, body, AT);
                assert!(verified.is_err(), "part {part}, bit {bit}");
            }
        }
    }

    #[test]
    fn headers_are_there_once() {
        let mut headers = HeaderMap::new();
        let verify = |headers: &HeaderMap| {
            let now = UNIX_EPOCH + Duration::from_secs(AT);
            secret(SECRET).map(|secret| secret.verify(headers, BODY.as_bytes(), now))
        };
        assert_eq!(verify(&headers), Some(Err(Refusal::Unsigned)));
        headers.append(TIMESTAMP, HeaderValue::from(AT));
        assert_eq!(verify(&headers), Some(Err(Refusal::Unsigned)));
        headers.append(SIGNATURE, HeaderValue::from_static(SIGNED));
        assert_eq!(verify(&headers), Some(Ok(())));
        headers.append(SIGNATURE, HeaderValue::from_static(SIGNED));
        assert_eq!(verify(&headers), Some(Err(Refusal::Unsigned)));
    }

    #[test]
    fn blank_secret_is_none() {
        for text in ["", " ", "\t\n"] {
            assert!(secret(text).is_none());
        }
    }

    proptest! {
        #[test]
        fn what_slack_signs_is_accepted_and_nothing_else(body: Vec<u8>, other: Vec<u8>, at in 0..u64::MAX >> 16) {
            let moment = UNIX_EPOCH + Duration::from_secs(at);
            let [(_, timestamp), (_, signature)] = signed_headers(SECRET, &body, moment);
            prop_assert_eq!(verify(timestamp.as_bytes(), signature.as_bytes(), &body, at), Ok(()));
            if other != body {
                prop_assert!(verify(timestamp.as_bytes(), signature.as_bytes(), &other, at).is_err());
            }
        }

        #[test]
        fn any_headers_are_survived(timestamp: Vec<u8>, signature: Vec<u8>, body: Vec<u8>) {
            prop_assert!(verify(&timestamp, &signature, &body, AT).is_err());
        }
    }
}
