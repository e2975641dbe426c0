//! Secrets in files: any variable whose value `--help` hides may be replaced by a file, named in the variable with the suffix
//! `_FILE`. systemd and containers provide secrets that way, so they appear in no process list or environment.
//!
//! They also pass on variables that are set to nothing, which count as not set.

use std::env;
use std::ffi::OsString;
use std::fs;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, Command};

/// The command, with the contents of the files as defaults.
pub(super) fn with_files(command: Command) -> Result<Command, clap::Error> {
    with(command, &|name| env::var_os(name))
}

fn with(
    mut command: Command,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Command, clap::Error> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut found = Vec::new();
    for argument in command.get_arguments() {
        let name = name_of(argument);
        if let Some((name, file)) = name.and_then(|it| Some((it, given(&format!("{it}_FILE"))?))) {
            found.push((argument.get_id().clone(), name.to_owned(), file));
        }
    }
    command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(|name| variable(name.to_str()?));
        match value.is_some_and(|value| value.is_empty()) {
            true => argument.env(Resettable::Reset),
            false => argument,
        }
    });
    for (id, name, file) in found {
        let refused = |problem: String| clap::Error::raw(ErrorKind::ValueValidation, problem);
        if given(&name).is_some() {
            return Err(refused(format!(
                "{name} and {name}_FILE are both set: leave one out\n"
            )));
        }
        let text = fs::read_to_string(&file).map_err(|error| {
            let file = file.display();
            refused(format!(
                "cannot read {file}, named by {name}_FILE: {error}\n"
            ))
        })?;
        // A file ends with a newline that does not belong to the secret, and may begin with the mark of an editor.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.trim().to_owned();
        command = command.mut_arg(id, |argument| {
            argument.default_value(text).hide_default_value(true)
        });
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|it| it.get_name().to_owned())
        .collect();
    for name in names {
        let mut outcome = Ok(());
        command = command.mut_subcommand(name, |subcommand| {
            match with(subcommand.clone(), variable) {
                Ok(changed) => changed,
                Err(error) => {
                    outcome = Err(error);
                    subcommand
                }
            }
        });
        outcome?;
    }
    Ok(command)
}

/// The variable of a secret argument.
fn name_of(argument: &Arg) -> Option<&str> {
    match argument.is_hide_env_values_set() {
        true => argument.get_env()?.to_str(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::fs;

    use clap::{Arg, Command};

    use super::with;

    fn command() -> Command {
        let secret = Arg::new("key")
            .long("key")
            .env("LOCKSTEP_TEST_KEY")
            .hide_env_values(true);
        let other = Arg::new("port").long("port").env("LOCKSTEP_TEST_PORT");
        Command::new("x").subcommand(Command::new("serve").arg(secret).arg(other))
    }

    fn read(variables: &[(&str, OsString)]) -> Result<(Option<String>, String), clap::Error> {
        let variables: HashMap<&str, &OsString> = variables
            .iter()
            .map(|(name, value)| (*name, value))
            .collect();
        let command = with(command(), &|name| {
            variables.get(name).map(|it| (*it).clone())
        })?;
        let help = command
            .clone()
            .find_subcommand_mut("serve")
            .map(|it| it.render_help().to_string());
        let matches = command.try_get_matches_from(["x", "serve"])?;
        let key = matches
            .subcommand_matches("serve")
            .and_then(|it| it.get_one::<String>("key"));
        Ok((key.cloned(), help.unwrap_or_default()))
    }

    #[test]
    fn a_file_stands_for_a_variable() -> std::io::Result<()> {
        let path = std::env::temp_dir().join(format!("lockstep-secret-{}", std::process::id()));
        fs::write(&path, " s3cret\n")?;
        let file = path.clone().into_os_string();
        let (key, help) =
            read(&[("LOCKSTEP_TEST_KEY_FILE", file.clone())]).map_err(std::io::Error::other)?;
        assert_eq!(key.as_deref(), Some("s3cret"));
        assert!(!help.contains("s3cret"), "{help}");
        let both = [
            ("LOCKSTEP_TEST_KEY_FILE", file.clone()),
            ("LOCKSTEP_TEST_KEY", "x".into()),
        ];
        let error = read(&both).map(drop).map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("both set") && !error.contains("s3cret")));
        // Set to nothing is not set.
        let one = [
            ("LOCKSTEP_TEST_KEY_FILE", file.clone()),
            ("LOCKSTEP_TEST_KEY", OsString::new()),
        ];
        let (key, _) = read(&one).map_err(std::io::Error::other)?;
        assert_eq!(key.as_deref(), Some("s3cret"));
        let none = [("LOCKSTEP_TEST_KEY_FILE", OsString::new())];
        assert_eq!(read(&none).map_err(std::io::Error::other)?.0, None);
        // Values that are not secret are not read from files.
        assert_eq!(
            read(&[("LOCKSTEP_TEST_PORT_FILE", file)])
                .map_err(std::io::Error::other)?
                .0,
            None
        );
        fs::write(&path, "\u{feff}s3cret\r\n")?;
        let marked = read(&[("LOCKSTEP_TEST_KEY_FILE", path.clone().into_os_string())]);
        let (key, _) = marked.map_err(std::io::Error::other)?;
        assert_eq!(key.as_deref(), Some("s3cret"));
        fs::remove_file(&path)?;
        let missing = read(&[("LOCKSTEP_TEST_KEY_FILE", path.into_os_string())]).map(drop);
        assert!(missing.is_err_and(|error| error.to_string().contains("LOCKSTEP_TEST_KEY_FILE")));
        Ok(())
    }
}
