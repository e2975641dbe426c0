//! The proxy for our own requests, as the environment names it.

use axum::http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use crate::error::Error;
use crate::settings::Problem;

/// The one in HTTPS_PROXY or ALL_PROXY, unless NO_PROXY names the server.
pub(super) fn proxy_for(base: &Url) -> Result<Option<Intercept>, Error> {
    named(base, &|name| std::env::var(name).ok())
}

fn named(
    base: &Url,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Intercept>, Error> {
    let Some(base) = base.as_str().parse::<Uri>().ok() else {
        return Ok(None);
    };
    if base.scheme_str() != Some("https") {
        return Ok(None);
    }
    let value = |name: &str| {
        let found = variable(name).or_else(|| variable(&name.to_lowercase()));
        found.unwrap_or_default().trim().to_owned()
    };
    let names = ["HTTPS_PROXY", "ALL_PROXY"];
    let Some((setting, address)) = names
        .map(|name| (name, value(name)))
        .into_iter()
        .find(|(_, address)| !address.is_empty())
    else {
        return Ok(None);
    };
    let proxy = |excepted: String| {
        let matcher = Matcher::builder().https(address.clone()).no(excepted);
        matcher.build().intercept(&base)
    };
    // To any other we would speak HTTP without TLS, with the password if there is one.
    let is_http = |proxy: &Intercept| proxy.uri().scheme_str() == Some("http");
    match proxy(String::new()).filter(is_http) {
        Some(_) => Ok(proxy(value("NO_PROXY"))),
        None => Err(Error::Config(vec![Problem {
            setting,
            wrong: "is not the address of an HTTP proxy".to_owned(),
            hint: "give http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT",
        }])),
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::named;

    #[test]
    fn only_what_can_be_used_is_a_proxy() -> Result<(), url::ParseError> {
        for (variables, expected) in [
            (&[][..], Some(None)),
            (&[("HTTPS_PROXY", "")], Some(None)),
            (&[("HTTPS_PROXY", "http://p:1")], Some(Some("http://p:1/"))),
            (&[("https_proxy", " p:1\n")], Some(Some("http://p:1/"))),
            (
                &[("HTTPS_PROXY", " "), ("ALL_PROXY", "http://a:1")],
                Some(Some("http://a:1/")),
            ),
            (
                &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "x, slack.com")],
                Some(None),
            ),
            (&[("HTTPS_PROXY", "https://u:p@p:1")], None),
            (&[("HTTPS_PROXY", "socks5://u:p@p:1")], None),
            (
                &[("HTTPS_PROXY", "garbage://x"), ("NO_PROXY", "slack.com")],
                None,
            ),
            (&[("HTTPS_PROXY", "http://")], None),
            (&[("ALL_PROXY", "ftp://p")], None),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let found = named(&Url::parse("https://slack.com")?, &variable).ok();
            let found = found.map(|proxy| proxy.map(|proxy| proxy.uri().to_string()));
            let expected = expected.map(|proxy| proxy.map(str::to_owned));
            assert_eq!(found, expected, "{variables:?}");
            // Nothing leaves the machine's network to a server without TLS: in tests alone.
            let plain = named(&Url::parse("http://127.0.0.1:1")?, &variable);
            assert!(plain.is_ok_and(|proxy| proxy.is_none()), "{variables:?}");
        }
        Ok(())
    }
}
