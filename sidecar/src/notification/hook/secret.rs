//! Whether a webhook is GitLab's: it has the secret token that only GitLab knows, or is signed as Standard Webhooks has it.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN as SHA256_LEN, digest};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How far GitLab's clock may be off ours, either way, in seconds.
const TOLERANCE: u64 = 300;

/// While a signing token is replaced a request is signed with both.
const MOST_SIGNATURES: usize = 8;

/// What webhooks prove with that they are GitLab's.
#[derive(Clone, Default)]
pub(crate) struct HookSecrets {
    token: Option<SecretString>,
    signing: Option<hmac::Key>,
}

/// What a request has proved with that it is GitLab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Token,
    /// Of its id, its time and its body; of no other header.
    Signature,
}

/// Why a request is not taken for one of GitLab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No secret is configured.
    Closed,
    Unsigned,
    Stale,
    Forged,
}

impl Refusal {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Unsigned => "unsigned",
            Self::Stale => "stale",
            Self::Forged => "forged",
        }
    }
}

impl HookSecrets {
    /// None if the signing token is none. An empty variable is no secret.
    pub(crate) fn new(
        token: Option<&SecretString>,
        signing: Option<&SecretString>,
    ) -> Option<Self> {
        let is_given = |secret: &&SecretString| !secret.expose_secret().trim().is_empty();
        let signing = match signing.filter(is_given) {
            Some(signing) => Some(signing_key(signing)?),
            None => None,
        };
        Some(Self {
            token: token.filter(is_given).cloned(),
            signing,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.token.is_none() && self.signing.is_none()
    }

    /// Whether it may be GitLab's, as far as its headers tell: if not, its body need not be read.
    pub(super) fn may_be_verified(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        if self.is_empty() {
            return Err(Refusal::Closed);
        }
        match (&self.signing, only(headers, &SIGNATURE)) {
            (Some(_), Some(_)) => {
                let signed = Signed::of(headers)?;
                signed.check_age(now)?;
                signed.check_form()
            }
            _ => self.check_token(headers),
        }
    }

    /// A signature that is wrong is not made good by the right token. Answers what the sender is known by.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Proof, Refusal> {
        match (&self.signing, only(headers, &SIGNATURE)) {
            (Some(key), Some(_)) => {
                let signed = Signed::of(headers)?;
                signed.check_age(now)?;
                signed.check(key, body).map(|()| Proof::Signature)
            }
            _ => self.check_token(headers).map(|()| Proof::Token),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            return Err(match self.is_empty() {
                true => Refusal::Closed,
                false => Refusal::Unsigned,
            });
        };
        let given = only(headers, &TOKEN).ok_or(Refusal::Unsigned)?;
        // Digests are of one length, so that not even that of the token is told.
        let hash = |bytes: &[u8]| digest(&SHA256, bytes);
        let expected = hash(token.expose_secret().as_bytes());
        match expected
            .as_ref()
            .ct_eq(hash(given.as_bytes()).as_ref())
            .into()
        {
            true => Ok(()),
            false => Err(Refusal::Forged),
        }
    }
}

/// The three headers of a signed request.
struct Signed<'a> {
    id: &'a HeaderValue,
    timestamp: &'a HeaderValue,
    at: u64,
    signatures: &'a str,
}

impl<'a> Signed<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let header = |name: HeaderName| only(headers, &name).ok_or(Refusal::Unsigned);
        let timestamp = header(TIMESTAMP)?;
        let text = timestamp.to_str().map_err(|_| Refusal::Unsigned)?;
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let at = text.parse().ok().filter(|_| is_digits);
        Ok(Self {
            id: header(ID)?,
            timestamp,
            at: at.ok_or(Refusal::Unsigned)?,
            signatures: header(SIGNATURE)?.to_str().map_err(|_| Refusal::Unsigned)?,
        })
    }

    fn check_age(&self, now: SystemTime) -> Result<(), Refusal> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match self.at.abs_diff(now) <= TOLERANCE {
            true => Ok(()),
            false => Err(Refusal::Stale),
        }
    }

    /// Whether there is anything that could be a signature.
    fn check_form(&self) -> Result<(), Refusal> {
        let is_one = |one: &str| {
            let tag = one.strip_prefix("v1,").unwrap_or_default();
            STANDARD
                .decode(tag)
                .is_ok_and(|tag| tag.len() == SHA256_LEN)
        };
        let mut given = self.signatures.split(' ').take(MOST_SIGNATURES);
        match given.any(is_one) {
            true => Ok(()),
            false => Err(Refusal::Forged),
        }
    }

    fn check(&self, key: &hmac::Key, body: &[u8]) -> Result<(), Refusal> {
        let mut signed = hmac::Context::with_key(key);
        for part in [
            self.id.as_bytes(),
            b".",
            self.timestamp.as_bytes(),
            b".",
            body,
        ] {
            signed.update(part);
        }
        let expected = signed.sign();
        let given = self.signatures.split(' ').take(MOST_SIGNATURES);
        let is_right = given
            .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
            .any(|tag| expected.as_ref().ct_eq(&tag).into());
        match is_right {
            true => Ok(()),
            false => Err(Refusal::Forged),
        }
    }
}

/// `whsec_` and the key in base64.
fn signing_key(token: &SecretString) -> Option<hmac::Key> {
    let text = token.expose_secret().trim().strip_prefix("whsec_")?;
    let key = STANDARD.decode(text).ok()?;
    (24..=64)
        .contains(&key.len())
        .then(|| hmac::Key::new(hmac::HMAC_SHA256, &key))
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use axum::http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::{HookSecrets, ID, Proof, Refusal, SIGNATURE, TIMESTAMP, TOKEN};

    // The example of the specification's repository, standard-webhooks.
    const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secrets(token: &str, signing: &str) -> HookSecrets {
        let [token, signing] = [token, signing].map(SecretString::from);
        HookSecrets::new(Some(&token), Some(&signing)).unwrap_or_default()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let pairs = pairs
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), value(text)?)));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn signed(signature: &str, at: u64) -> HeaderMap {
        headers(&[
            (ID, MESSAGE),
            (TIMESTAMP, &at.to_string()),
            (SIGNATURE, signature),
        ])
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn example_of_the_specification_is_accepted() {
        let secrets = secrets("", SIGNING);
        for now in [AT - 300, AT, AT + 300] {
            let verified = secrets.verify(&signed(SIGNED, AT), BODY, at(now));
            assert_eq!(verified, Ok(Proof::Signature), "{now}");
        }
        let two = format!("v1,AAAA {SIGNED}");
        assert_eq!(
            secrets.verify(&signed(&two, AT), BODY, at(AT)),
            Ok(Proof::Signature)
        );
        // What cannot be a signature is refused before anything is read.
        for none in ["v1,AAAA", "v1,", "v2", ""] {
            let refused = secrets.may_be_verified(&signed(none, AT), at(AT));
            assert_eq!(refused, Err(Refusal::Forged), "{none}");
        }
        assert_eq!(secrets.may_be_verified(&signed(&two, AT), at(AT)), Ok(()));
        for now in [AT - 301, AT + 301, 0] {
            for verified in [
                secrets.may_be_verified(&signed(SIGNED, AT), at(now)),
                secrets.verify(&signed(SIGNED, AT), BODY, at(now)).map(drop),
            ] {
                assert_eq!(verified, Err(Refusal::Stale), "{now}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let secrets = secrets("the secret token", SIGNING);
        let forged = |headers: &HeaderMap, body: &[u8]| secrets.verify(headers, body, at(AT));
        assert_eq!(forged(&signed(SIGNED, AT + 1), BODY), Err(Refusal::Forged));
        assert_eq!(forged(&signed(SIGNED, AT), b"{}"), Err(Refusal::Forged));
        assert_eq!(
            forged(&signed(&SIGNED.replace("v1", "v2"), AT), BODY),
            Err(Refusal::Forged)
        );
        assert_eq!(
            forged(&signed(SIGNED.trim_end_matches('='), AT), BODY),
            Err(Refusal::Forged)
        );
        // The token is no way round a signature that is wrong.
        let mut both = signed("v1,AAAA", AT);
        both.insert(TOKEN, HeaderValue::from_static("the secret token"));
        assert_eq!(forged(&both, BODY), Err(Refusal::Forged));
        assert_eq!(
            forged(&headers(&[(SIGNATURE, SIGNED)]), BODY),
            Err(Refusal::Unsigned)
        );
        let twice = headers(&[(TOKEN, "the secret token"), (TOKEN, "the secret token")]);
        assert_eq!(forged(&twice, BODY), Err(Refusal::Unsigned));
        assert_eq!(forged(&HeaderMap::new(), BODY), Err(Refusal::Unsigned));
    }

    #[test]
    fn token_is_the_whole_of_it() {
        let secrets = secrets("the secret token", "");
        for (token, verified) in [
            ("the secret token", Ok(Proof::Token)),
            ("the secret toke", Err(Refusal::Forged)),
            ("the secret tokens", Err(Refusal::Forged)),
            ("", Err(Refusal::Forged)),
        ] {
            let headers = headers(&[(TOKEN, token)]);
            assert_eq!(secrets.verify(&headers, BODY, at(AT)), verified, "{token}");
        }
        // It is not signed for us.
        assert_eq!(
            secrets.verify(&signed(SIGNED, AT), BODY, at(AT)),
            Err(Refusal::Unsigned)
        );
    }

    #[test]
    fn without_a_secret_nobody_is_gitlab() {
        let secrets = HookSecrets::default();
        for headers in [
            HeaderMap::new(),
            headers(&[(TOKEN, "")]),
            signed(SIGNED, AT),
        ] {
            assert_eq!(
                secrets.may_be_verified(&headers, at(AT)),
                Err(Refusal::Closed)
            );
            assert_eq!(secrets.verify(&headers, BODY, at(AT)), Err(Refusal::Closed));
        }
    }

    #[test]
    fn signing_tokens_are_those_of_gitlab() {
        let new = |text: &str| HookSecrets::new(None, Some(&SecretString::from(text)));
        assert!(new(SIGNING).is_some_and(|it| !it.is_empty()));
        assert!(new("").is_some_and(|it| it.is_empty()));
        for text in [
            "whsec_",
            "whsec_AAAA",
            "whsec_!",
            "secret of some length that is no token",
        ] {
            assert!(new(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_survived(id: String, timestamp: String, signature: String, body: Vec<u8>) {
            let headers = headers(&[(ID, &id), (TIMESTAMP, &timestamp), (SIGNATURE, &signature)]);
            prop_assert!(secrets("", SIGNING).verify(&headers, &body, at(AT)).is_err());
        }
    }
}
