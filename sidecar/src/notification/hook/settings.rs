//! The secrets of GitLab's webhooks.

use secrecy::{ExposeSecret, SecretString};

use super::options::Hooks;
use super::secret::HookSecrets;
use crate::settings::{Problem, SHORTEST_PASSWORD};

const TOKEN: &str = "--gitlab-token (LOCKSTEP_GITLAB_TOKEN)";
const TOKEN_OF: &str = "--gitlab-token-of (LOCKSTEP_GITLAB_TOKENS_OF)";
const SIGNING: &str = "--gitlab-signing-token (LOCKSTEP_GITLAB_SIGNING_TOKEN)";
const SIGNING_OF: &str = "--gitlab-signing-token-of (LOCKSTEP_GITLAB_SIGNING_TOKENS_OF)";

impl HookSecrets {
    pub(crate) fn configured(arguments: &Hooks, problems: &mut Vec<Problem>) -> Self {
        let mut secrets = Self::default();
        if let Some(token) = &arguments.gitlab_token {
            check_length(TOKEN, token, problems);
            secrets.add_token(None, token);
        }
        for (path, token) in bound(TOKEN_OF, &arguments.gitlab_tokens_of, problems) {
            check_length(TOKEN_OF, &token, problems);
            secrets.add_token(Some(path), &token);
        }
        if let Some(token) = &arguments.gitlab_signing_token
            && !secrets.add_signing_token(None, token)
        {
            problems.push(no_signing_token(SIGNING));
        }
        for (path, token) in bound(SIGNING_OF, &arguments.gitlab_signing_tokens_of, problems) {
            if !secrets.add_signing_token(Some(path), &token) {
                problems.push(no_signing_token(SIGNING_OF));
            }
        }
        secrets
    }
}

/// Full paths and the secrets of their webhooks. An empty variable has none.
fn bound(
    setting: &'static str,
    pairs: &[SecretString],
    problems: &mut Vec<Problem>,
) -> Vec<(String, SecretString)> {
    let pairs = pairs.iter().map(ExposeSecret::expose_secret);
    let mut bound = Vec::new();
    for pair in pairs.map(str::trim).filter(|pair| !pair.is_empty()) {
        let parts = pair.split_once('=').map(|(path, secret)| {
            let path = path.trim().trim_matches('/');
            (path, secret.trim())
        });
        match parts {
            Some((path, secret)) if !path.is_empty() && !secret.is_empty() => {
                bound.push((path.to_owned(), SecretString::from(secret)));
            }
            _ => problems.push(Problem {
                setting,
                wrong: "is no path and a secret".to_owned(),
                hint: "it is the full path of a group or project, an equals sign, and the secret of its webhooks, such as group/project=...",
            }),
        }
    }
    bound
}

fn check_length(setting: &'static str, token: &SecretString, problems: &mut Vec<Problem>) {
    let length = token.expose_secret().chars().count();
    if (1..SHORTEST_PASSWORD).contains(&length) {
        problems.push(Problem {
            setting,
            wrong: "is shorter than 12 characters".to_owned(),
            hint: "it is guessed over the network: choose a long one, here and in the webhook's settings",
        });
    }
}

fn no_signing_token(setting: &'static str) -> Problem {
    Problem {
        setting,
        wrong: "is no signing token".to_owned(),
        hint: "it is whsec_ and the base64 of 32 bytes, as the webhook's settings show it once",
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{HookSecrets, TOKEN_OF};
    use crate::notification::hook::options::Hooks;

    const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The errors in secrets of paths, and whether any secret is left.
    fn wrong(tokens: &[&str], signing: &[&str]) -> (Vec<String>, bool) {
        let all = |texts: &[&str]| texts.iter().map(|text| SecretString::from(*text)).collect();
        let arguments = Hooks {
            gitlab_token: None,
            gitlab_tokens_of: all(tokens),
            gitlab_signing_token: None,
            gitlab_signing_tokens_of: all(signing),
        };
        let mut problems = Vec::new();
        let secrets = HookSecrets::configured(&arguments, &mut problems);
        let problems = problems.iter().map(ToString::to_string).collect();
        (problems, !secrets.is_empty())
    }

    #[test]
    fn secrets_of_paths_are_checked() {
        let signing = format!("group/one={SIGNING}");
        assert_eq!(
            wrong(&["/group/one/=a secret = token"], &[]),
            (Vec::new(), true)
        );
        assert_eq!(wrong(&[], &[&signing]), (Vec::new(), true));
        assert_eq!(wrong(&[""], &[""]), (Vec::new(), false));
        for (tokens, signing) in [
            (&["a secret token"][..], &[][..]),
            (&["=a secret token"], &[]),
            (&["group/one="], &[]),
            (&["group/one=short"], &[]),
            (&[], &["group/one=a secret token"]),
            (&[], &[SIGNING]),
        ] {
            let (problems, _) = wrong(tokens, signing);
            assert_eq!(problems.len(), 1, "{tokens:?} {signing:?} {problems:?}");
            assert!(!problems[0].contains("secret token"), "{problems:?}");
        }
        assert!(wrong(&["x"], &[]).0[0].starts_with(TOKEN_OF));
    }
}
