//! Authenticates GitLab's webhooks: by a secret token that only GitLab knows, or by a signature ([`signed`]). A secret may belong
//! to one group or project, and then only covers that.

mod refusal;
mod signed;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

pub(super) use refusal::Refusal;
use refusal::only;
use signed::{SIGNATURE, Signed, signing_key};

const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");

/// The secrets of GitLab's webhooks.
#[derive(Clone, Default)]
pub(crate) struct HookSecrets {
    tokens: Vec<Bound<SecretString>>,
    signing: Vec<Bound<hmac::Key>>,
}

/// A secret, and the full path of its group or project; None if it covers everything.
#[derive(Clone)]
struct Bound<T> {
    path: Option<String>,
    secret: T,
}

/// What a webhook has proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) reach: Reach,
    /// The id that was signed with the body, if it was.
    pub(super) signed_id: Option<HeaderValue>,
}

/// What a secret covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Everything,
    /// These groups and projects: several may use the same secret.
    Paths(Vec<String>),
}

impl Reach {
    /// None without a matching secret.
    fn of<'a, T: 'a>(secrets: impl Iterator<Item = &'a Bound<T>>) -> Option<Self> {
        let paths: Vec<Option<String>> = secrets.map(|it| it.path.clone()).collect();
        if paths.is_empty() {
            return None;
        }
        let bound: Option<Vec<String>> = paths.into_iter().collect();
        Some(bound.map_or(Self::Everything, Self::Paths))
    }
}

impl HookSecrets {
    /// An empty text is not a secret.
    pub(crate) fn add_token(&mut self, path: Option<String>, token: &SecretString) {
        if !is_blank(token) {
            let secret = token.clone();
            self.tokens.push(Bound { path, secret });
        }
    }

    /// False if it is not a signing token. An empty text is not a secret.
    pub(crate) fn add_signing_token(&mut self, path: Option<String>, token: &SecretString) -> bool {
        if is_blank(token) {
            return true;
        }
        let key = signing_key(token);
        let is_key = key.is_some();
        self.signing
            .extend(key.map(|secret| Bound { path, secret }));
        is_key
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.signing.is_empty()
    }

    /// Whether it may be authentic, according to its headers: if not, its body need not be read.
    pub(super) fn may_be_verified(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let signed = self.signed(headers, now).map(|signed| signed.map(drop));
        self.or_by_token(headers, signed).map(drop)
    }

    /// A webhook with a token may also be signed with an unknown key: then the token counts as if there were no signature.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Proof, Refusal> {
        let signed = self.signed(headers, now).map(|signed| {
            let signed = signed?;
            let keys = self.signing.iter();
            let by = keys.filter(|key| signed.is_by(&key.secret, body));
            Ok(Proof {
                reach: Reach::of(by).ok_or(Refusal::Forged)?,
                signed_id: Some(signed.id.clone()),
            })
        });
        match self.or_by_token(headers, signed)? {
            Ok(proof) => Ok(proof),
            Err(reach) => Ok(Proof {
                reach,
                signed_id: None,
            }),
        }
    }

    /// The signature, if there is one and we have keys.
    fn signed<'a>(
        &self,
        headers: &'a HeaderMap,
        now: SystemTime,
    ) -> Option<Result<Signed<'a>, Refusal>> {
        if self.signing.is_empty() || only(headers, &SIGNATURE).is_none() {
            return None;
        }
        let signed = Signed::of(headers);
        Some(signed.and_then(|signed| signed.check_age(now).map(|()| signed)))
    }

    /// The signature's result, otherwise what the token covers.
    fn or_by_token<T>(
        &self,
        headers: &HeaderMap,
        signed: Option<Result<T, Refusal>>,
    ) -> Result<Result<T, Reach>, Refusal> {
        match signed {
            Some(Ok(proof)) => Ok(Ok(proof)),
            Some(Err(refusal)) => self.check_token(headers).map(Err).map_err(|_| refusal),
            None => self.check_token(headers).map(Err),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<Reach, Refusal> {
        if self.is_empty() {
            return Err(Refusal::Closed);
        }
        if self.tokens.is_empty() {
            return Err(Refusal::Unsigned);
        }
        let given = only(headers, &TOKEN).ok_or(Refusal::Unsigned)?;
        // Digests have equal lengths, so that not even the token's length is revealed.
        let hash = |bytes: &[u8]| digest(&SHA256, bytes);
        let given = hash(given.as_bytes());
        let is_it = |token: &&Bound<SecretString>| {
            let expected = hash(token.secret.expose_secret().as_bytes());
            expected.as_ref().ct_eq(given.as_ref()).into()
        };
        Reach::of(self.tokens.iter().filter(is_it)).ok_or(Refusal::Forged)
    }
}

fn is_blank(secret: &SecretString) -> bool {
    secret.expose_secret().trim().is_empty()
}
