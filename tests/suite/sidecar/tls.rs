//! TLS to the database: under each sslmode the sidecar connects where psql does, whatever certificate the server has.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output, id};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockstep_tests::cluster::Cluster;
use lockstep_tests::target;
use postgres::Client;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SigningKey, date_time_ymd,
};
use x509_cert::Version;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode, Encode};

use crate::concurrency::PATIENCE;

/// The name under which clients know the server.
const NAME: &str = "db.example";

/// Connections over TCP, as pg_hba.conf says it. SCRAM binds itself to the certificate.
const ANY: &str = "host all all 127.0.0.0/8 scram-sha-256";

struct Server {
    cluster: Cluster,
    client: Client,
    address: Ipv4Addr,
    /// What clients read.
    folder: PathBuf,
    certificates: u32,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// None where PostgreSQL is built without TLS.
    fn start(purpose: &str, last: u8) -> Result<Option<Self>> {
        // The port is the same for all clusters. Another run of the tests is another process, which has other addresses.
        let [_, _, high, low] = id().to_be_bytes();
        let address = Ipv4Addr::new(127, high, low, last);
        let cluster = Cluster::start(purpose, &[("listen_addresses", &address.to_string())])?;
        let mut client = cluster.connect("postgres")?;
        let library: String = client.query_one("show ssl_library", &[])?.get(0);
        if library.is_empty() {
            eprintln!("skipped: this PostgreSQL is built without TLS");
            return Ok(None);
        }
        client.batch_execute(
            "create extension lockstep_slack cascade; alter role postgres password 'secret'",
        )?;
        let folder = target().join(format!("tmp/{purpose}-{}", id()));
        fs::create_dir_all(&folder)?;
        Ok(Some(Self {
            cluster,
            client,
            address,
            folder,
            certificates: 0,
        }))
    }

    /// A file in the server's data directory, which its account alone may read.
    fn write(&mut self, file: &str, content: &str) -> Result<()> {
        let command = format!("rm -f {file}; umask 077; cat > {file}");
        self.client.batch_execute(&format!(
            "copy (select string_to_table('{}', e'\\n')) to program '{command}'",
            content.trim_end()
        ))?;
        Ok(())
    }

    /// Gives the server a certificate, and says which connections over TCP it takes.
    fn configure(&mut self, certificate: &Certificate, allowed: &str) -> Result<()> {
        self.certificates += 1;
        let (file, key_file) = (
            format!("{}.crt", self.certificates),
            format!("{}.key", self.certificates),
        );
        self.write(&file, &certificate.pem)?;
        self.write(&key_file, &certificate.key)?;
        self.write("pg_hba.conf", &format!("local all all trust\n{allowed}"))?;
        for setting in [
            format!("ssl_cert_file = '{file}'"),
            format!("ssl_key_file = '{key_file}'"),
            "ssl = on".to_owned(),
        ] {
            let statement = format!("alter system set {setting}");
            self.client.batch_execute(&statement)?;
        }
        self.client.batch_execute("select pg_reload_conf()")?;
        let begun = Instant::now();
        loop {
            let mut later = self.cluster.connect("postgres")?;
            let shown = later.query_one("show ssl_cert_file", &[])?;
            if shown.get::<_, String>(0) == file {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the server does not reload");
            sleep(Duration::from_millis(10));
        }
    }

    fn url(&self, options: &str) -> String {
        let address = self.address;
        format!("host={NAME} hostaddr={address} user=postgres dbname=postgres {options}")
    }

    /// Whether psql connects with these options.
    fn takes_psql(&self, options: &str) -> Result<bool> {
        let mut psql = self.cluster.client_program("psql");
        psql.args(["--no-psqlrc", "--command", "select"])
            .args(["--dbname", &self.url(options)]);
        Ok(self.run(psql)?.status.success())
    }

    /// Whether the sidecar does, and what it says.
    fn takes_sidecar(&self, options: &str) -> Result<(bool, String)> {
        let mut sidecar = Command::new(target().join("debug/lockstep-sidecar"));
        sidecar.args(["drift", "--last", "--database-url", &self.url(options)]);
        let output = self.run(sidecar)?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(matches!(output.status.code(), Some(0 | 2)), "{said}");
        Ok((output.status.success(), said))
    }

    /// Neither finds a certificate at home that libpq would use by itself.
    fn run(&self, mut client: Command) -> Result<Output> {
        client
            .env("HOME", &self.folder)
            .env("PGPASSWORD", "secret")
            .env_remove("RUST_LOG");
        Ok(client.output()?)
    }
}

/// A certificate with its key, as PEM.
struct Certificate {
    pem: String,
    key: String,
}

/// What a certificate of a server says, with the name both where libpq and where rustls looks for it.
fn named(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn of_authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn signed_by_itself(params: &CertificateParams) -> Result<Certificate> {
    let key = KeyPair::generate()?;
    Ok(Certificate {
        pem: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// Bytes as PEM has them.
fn lines(bytes: &[u8]) -> String {
    let parts = bytes.chunks(48);
    parts.map(|part| STANDARD.encode(part) + "\n").collect()
}

/// One of the first version of X.509, as Citus makes it for its nodes.
fn of_first_version(params: &CertificateParams) -> Result<Certificate> {
    let key = KeyPair::generate()?;
    let mut certificate = x509_cert::Certificate::from_der(params.self_signed(&key)?.der())?;
    certificate.tbs_certificate.version = Version::V1;
    certificate.tbs_certificate.extensions = None;
    let signature = key.sign(&certificate.tbs_certificate.to_der()?)?;
    certificate.signature = BitString::from_bytes(&signature)?;
    Ok(Certificate {
        pem: format!(
            "-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n",
            lines(&certificate.to_der()?)
        ),
        key: key.serialize_pem(),
    })
}

#[test]
fn sidecar_connects_where_psql_does() -> Result<()> {
    let Some(mut server) = Server::start("tls", 1)? else {
        return Ok(());
    };
    let authority = of_authority(named("authority")?);
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let issued = |name: &str| -> Result<Certificate> {
        let key = KeyPair::generate()?;
        Ok(Certificate {
            pem: named(name)?.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    };
    let mut expired = of_authority(named(NAME)?);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let certificates = [
        ("first version", of_first_version(&named(NAME)?)?),
        ("by itself", signed_by_itself(&named(NAME)?)?),
        (
            "by itself, an authority's",
            signed_by_itself(&of_authority(named(NAME)?))?,
        ),
        (
            "by itself, of another name",
            signed_by_itself(&of_authority(named("other.example")?))?,
        ),
        ("by itself, expired", signed_by_itself(&expired)?),
        ("issued", issued(NAME)?),
        ("issued to another name", issued("other.example")?),
    ];
    let stranger = signed_by_itself(&of_authority(named("stranger")?))?;
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for (what, certificate) in &certificates {
        server.configure(certificate, ANY)?;
        let all = &["disable", "prefer", "require", "verify-ca", "verify-full"][..];
        let verifying = &["verify-ca", "verify-full"][..];
        for (root, pem, modes) in [
            ("", "", all),
            ("own", &certificate.pem, verifying),
            ("authority", &authority_pem, verifying),
            ("stranger", &stranger.pem, &["prefer", "require"]),
        ] {
            let file = server.folder.join(root);
            let root = match root {
                "" => String::new(),
                _ => format!("sslrootcert={}", file.display()),
            };
            if !root.is_empty() {
                fs::write(&file, pem)?;
            }
            for mode in modes {
                let options = format!("sslmode={mode} {root}").trim_end().to_owned();
                // Who names an authority and gets another one is not connected without TLS, as psql would be.
                let psql = match *mode {
                    "prefer" if !root.is_empty() => format!("sslmode=require {root}"),
                    _ => options.clone(),
                };
                let expected = server.takes_psql(&psql)?;
                // A name is looked for in subjectAltName alone, which the first version has not.
                let is_nameless = *what == "first version" && *mode == "verify-full";
                let (taken, said) = server.takes_sidecar(&options)?;
                accepted += u32::from(taken);
                if taken != (expected && !is_nameless) {
                    wrong.push(format!(
                        "{what}, {options}: {taken}, psql {expected}: {said}"
                    ));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(accepted >= 20, "only {accepted} were connected");
    Ok(())
}

#[test]
fn prefer_goes_without_tls_where_tls_is_what_fails() -> Result<()> {
    let Some(mut server) = Server::start("tls-hba", 2)? else {
        return Ok(());
    };
    let certificate = of_first_version(&named(NAME)?)?;
    for allowed in ["host", "hostssl", "hostnossl"] {
        let entry = format!("{allowed} all all 127.0.0.0/8 scram-sha-256");
        server.configure(&certificate, &entry)?;
        for mode in ["disable", "prefer", "require"] {
            let options = format!("sslmode={mode}");
            let (taken, said) = server.takes_sidecar(&options)?;
            let expected = server.takes_psql(&options)?;
            ensure!(
                taken == expected,
                "{entry}, {mode}: {taken}, psql {expected}: {said}"
            );
        }
    }
    // The handshake fails: with TLS 1.2 there has to be a certificate of the third version.
    let setting = "alter system set ssl_max_protocol_version = 'TLSv1.2'";
    server.client.batch_execute(setting)?;
    server.configure(&certificate, ANY)?;
    for (mode, expected) in [("prefer", true), ("require", false)] {
        let (taken, said) = server.takes_sidecar(&format!("sslmode={mode}"))?;
        ensure!(taken == expected, "TLS 1.2, {mode}: {taken}: {said}");
    }
    Ok(())
}
