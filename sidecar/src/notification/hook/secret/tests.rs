use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use secrecy::SecretString;

use super::signed::{ID, SIGNATURE, TIMESTAMP};
use super::{HookSecrets, Reach, Refusal, TOKEN};

// The example in the specification's repository, standard-webhooks.
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// Well formed, and wrong.
const OTHER: &str = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_SIGNING: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn secrets(token: &str, signing: &str) -> HookSecrets {
    let [token, signing] = [token, signing].map(SecretString::from);
    let mut secrets = HookSecrets::default();
    secrets.add_token(None, &token);
    assert!(secrets.add_signing_token(None, &signing));
    secrets
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

/// The paths that the webhook covers, None for everything, and the signed id.
type Proved = (Option<Vec<String>>, Option<String>);

fn verify(
    secrets: &HookSecrets,
    headers: &HeaderMap,
    body: &[u8],
    now: u64,
) -> Result<Proved, Refusal> {
    let proof = secrets.verify(headers, body, at(now))?;
    let id = proof.signed_id.as_ref().and_then(|id| id.to_str().ok());
    let paths = match proof.reach {
        Reach::Everything => None,
        Reach::Paths(paths) => Some(paths),
    };
    Ok((paths, id.map(str::to_owned)))
}

fn by_token() -> Result<Proved, Refusal> {
    Ok((None, None))
}

fn by_signature() -> Result<Proved, Refusal> {
    Ok((None, Some(MESSAGE.to_owned())))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn example_of_the_specification_is_accepted() {
    let secrets = secrets("", SIGNING);
    for now in [AT - 300, AT, AT + 300] {
        let verified = verify(&secrets, &signed(SIGNED, AT), BODY, now);
        assert_eq!(verified, by_signature(), "{now}");
    }
    let two = format!("v1,AAAA {OTHER} {SIGNED}");
    let verified = verify(&secrets, &signed(&two, AT), BODY, AT);
    assert_eq!(verified, by_signature());
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
    let forged = |headers: &HeaderMap, body: &[u8]| verify(&secrets, headers, body, AT);
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
    // A wrong token does not help a wrong signature.
    let mut both = signed("v1,AAAA", AT);
    both.insert(TOKEN, HeaderValue::from_static("another token"));
    assert_eq!(forged(&both, BODY), Err(Refusal::Forged));
    assert_eq!(
        forged(&headers(&[(SIGNATURE, SIGNED)]), BODY),
        Err(Refusal::Unsigned)
    );
    let twice = headers(&[(TOKEN, "the secret token"), (TOKEN, "the secret token")]);
    assert_eq!(forged(&twice, BODY), Err(Refusal::Unsigned));
    assert_eq!(forged(&HeaderMap::new(), BODY), Err(Refusal::Unsigned));
}

/// A request signed with a key that only another receiver knows is authenticated by its token, and its id is not trusted then.
#[test]
fn token_is_as_good_beside_a_signature() {
    let secrets = secrets("the secret token", OTHER_SIGNING);
    for (signature, at_time) in [(SIGNED, AT), (OTHER, AT), ("v1,", AT), (SIGNED, 1)] {
        let mut headers = signed(signature, at_time);
        assert!(verify(&secrets, &headers, BODY, AT).is_err());
        headers.insert(TOKEN, HeaderValue::from_static("the secret token"));
        assert_eq!(secrets.may_be_verified(&headers, at(AT)), Ok(()));
        assert_eq!(verify(&secrets, &headers, BODY, AT), by_token());
        headers.insert(TOKEN, HeaderValue::from_static("another"));
        assert!(verify(&secrets, &headers, BODY, AT).is_err());
    }
}

/// A client without a signature is refused before it sends a body.
#[test]
fn form_of_a_signature_comes_before_the_body() {
    let secrets = secrets("", SIGNING);
    let looked_at = |signature: &str| secrets.may_be_verified(&signed(signature, AT), at(AT));
    for none in ["", "x", "v1,", "v1,AAAA", "v1,!", "v1a,AAAA", &OTHER[3..]] {
        assert_eq!(looked_at(none), Err(Refusal::Forged), "{none}");
    }
    let longer = format!("v1,{}", "A".repeat(44));
    assert_eq!(looked_at(&longer), Err(Refusal::Forged));
    let behind_many = format!("{}{SIGNED}", "v1,AAAA ".repeat(8));
    assert_eq!(looked_at(&behind_many), Err(Refusal::Forged));
    for may_be in [SIGNED, OTHER, &format!("v1,AAAA {OTHER}")] {
        assert_eq!(looked_at(may_be), Ok(()), "{may_be}");
    }
    let verified = verify(&secrets, &signed(OTHER, AT), BODY, AT);
    assert_eq!(verified, Err(Refusal::Forged));
}

#[test]
fn secrets_of_a_path_are_told_from_those_of_all() {
    let mut secrets = secrets("the secret token", OTHER_SIGNING);
    let path = || Some("group/one".to_owned());
    let one = || Some(vec!["group/one".to_owned()]);
    secrets.add_token(path(), &SecretString::from("a token of one"));
    for path in ["two", "three"] {
        let token = SecretString::from("a token of both");
        secrets.add_token(Some(path.to_owned()), &token);
    }
    // A token that covers everything as well.
    secrets.add_token(path(), &SecretString::from("the secret token"));
    secrets.add_token(Some("empty".to_owned()), &SecretString::from(""));
    assert!(secrets.add_signing_token(path(), &SecretString::from(SIGNING)));
    for (token, verified) in [
        ("the secret token", by_token()),
        ("a token of one", Ok((one(), None))),
        (
            "a token of both",
            Ok((Some(vec!["two".to_owned(), "three".to_owned()]), None)),
        ),
        ("a token of two", Err(Refusal::Forged)),
        ("", Err(Refusal::Forged)),
    ] {
        let headers = headers(&[(TOKEN, token)]);
        assert_eq!(verify(&secrets, &headers, BODY, AT), verified, "{token}");
    }
    let verified = verify(&secrets, &signed(SIGNED, AT), BODY, AT);
    assert_eq!(verified, Ok((one(), Some(MESSAGE.to_owned()))));
}

#[test]
fn token_is_the_whole_of_it() {
    let secrets = secrets("the secret token", "");
    for (token, verified) in [
        ("the secret token", by_token()),
        ("the secret toke", Err(Refusal::Forged)),
        ("the secret tokens", Err(Refusal::Forged)),
        ("", Err(Refusal::Forged)),
    ] {
        let headers = headers(&[(TOKEN, token)]);
        assert_eq!(verify(&secrets, &headers, BODY, AT), verified, "{token}");
    }
    // It is not signed for us.
    assert_eq!(
        verify(&secrets, &signed(SIGNED, AT), BODY, AT),
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
        assert_eq!(verify(&secrets, &headers, BODY, AT), Err(Refusal::Closed));
    }
}

#[test]
fn signing_tokens_are_those_of_gitlab() {
    let mut secrets = HookSecrets::default();
    let mut add = |text: &str| {
        let is_one = secrets.add_signing_token(None, &SecretString::from(text));
        (is_one, secrets.is_empty())
    };
    assert_eq!(add(""), (true, true));
    for text in [
        "whsec_",
        "whsec_AAAA",
        "whsec_!",
        "secret of some length that is no token",
    ] {
        assert_eq!(add(text), (false, true), "{text}");
    }
    assert_eq!(add(SIGNING), (true, false));
}

proptest! {
    #[test]
    fn any_headers_are_survived(id: String, timestamp: String, signature: String, body: Vec<u8>) {
        let headers = headers(&[(ID, &id), (TIMESTAMP, &timestamp), (SIGNATURE, &signature)]);
        prop_assert!(secrets("", SIGNING).verify(&headers, &body, at(AT)).is_err());
    }
}
