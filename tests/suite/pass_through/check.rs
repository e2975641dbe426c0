//! The command `check` calls GitLab.

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::{Fault, GitLab};
use lockstep_tests::slack::{App, FakeSlack};

use super::nowhere;
use crate::slack_app::{command, sidecar_url, with_projects};

#[test]
fn check_tells_whether_gitlab_takes_it() -> Result<()> {
    const DATABASE: &str = "pass_check";
    let _client = with_projects(DATABASE)?;
    let url = sidecar_url(DATABASE)?;
    let slack = FakeSlack::start(App::default())?;
    let gitlab = GitLab::start(App::default())?;
    let check = |address: Option<&str>| -> Result<(bool, String)> {
        let mut check = command("check", &url, &slack);
        check.arg("--public-url=https://slack.example");
        if let Some(address) = address {
            check.arg(format!("--gitlab-url={address}"));
        }
        let output = check.output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), said))
    };
    let address = gitlab.base_url();
    let (is_well, said) = check(Some(&address))?;
    ensure!(is_well && said.contains("ok: GitLab responds at"), "{said}");
    let (is_well, said) = check(None)?;
    ensure!(
        is_well && said.contains("--gitlab-url is not set"),
        "{said}"
    );
    let nowhere = nowhere()?;
    let (is_well, said) = check(Some(&nowhere))?;
    ensure!(!is_well && said.contains("cannot connect"), "{said}");
    gitlab.fail(&[Fault::Garbage], false);
    let (is_well, said) = check(Some(&address))?;
    ensure!(!is_well && said.contains("sign-in page"), "{said}");
    gitlab.change_app(|app| app.signing_secret = "another".to_owned());
    let (is_well, said) = check(Some(&address))?;
    ensure!(!is_well && said.contains("signing secret"), "{said}");
    Ok(())
}
