//! `godex proxy --mock`: the backend is in this process, the login and all files are of this run.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godex_core::key::ApiKey;
use godex_mock::{Mock, Options, TokenPolicy};

use crate::cli::report::{Exit, Failure};
use crate::clock;
use crate::config::{Admission, Config, SIMULATED, Surroundings};
use crate::store::file;

/// How long the simulator's login lives: no run is longer.
const LOGIN: Duration = Duration::from_hours(10 * 365 * 24);

/// How many requests the simulator keeps for inspection.
const RECORD: usize = 100;

/// A folder for the files of this run. Dropped, it is removed.
pub(in crate::cli) struct Folder {
    path: PathBuf,
}

/// The backend of this run and the key that was made for it. Dropped, it stops.
pub(in crate::cli) struct Simulated {
    _mock: Mock,
    key: Option<ApiKey>,
}

impl Folder {
    /// Makes a folder that only this user can look into.
    ///
    /// # Errors
    ///
    /// When the folder for temporary files is closed to us.
    pub(in crate::cli) fn create(surroundings: &Surroundings) -> Result<Self, Failure> {
        let path = surroundings.temporary().join(format!("{SIMULATED}{}", random()?));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self { path }),
            Err(error) => {
                Err(failed("cannot make a folder for the simulator's files", &path, &error)
                    .help("set TMPDIR to a folder that this user can write to"))
            }
        }
    }

    /// The folder.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is a temporary folder: what cannot be removed now, the system removes later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Simulated {
    /// Starts the simulator and points `config` at it: its address, its token endpoint, a login
    /// of its own whatever the flags say, and a key unless the user gave one.
    ///
    /// # Errors
    ///
    /// When there is no port or no file for it.
    pub(in crate::cli) async fn start(
        config: &mut Config,
        folder: &Folder,
    ) -> Result<Self, Failure> {
        let options = Options { tokens: TokenPolicy::Issued, record: RECORD, ..Options::default() };
        let mock = Mock::start(options).await.map_err(|error| {
            Failure::new(Exit::Failure, "cannot start the simulator").cause(error.to_string())
        })?;
        let unusable = |_| Failure::new(Exit::Failure, "the simulator has no usable address");
        config.base_url = mock.base_url().parse().map_err(unusable)?;
        config.token_url = mock.token_url().parse().map_err(unusable)?;
        config.auth_path = folder.path().join("auth.json");
        file::replace(&config.auth_path, mock.new_login(LOGIN).as_bytes(), file::PRIVATE).map_err(
            |error| failed("cannot write the simulator's login", &config.auth_path, &error),
        )?;
        let key = match &config.admission {
            Admission::Keys { shared: None } => {
                let key = ApiKey::from(format!("gxk_demo_{}", random()?));
                config.admission = Admission::Keys { shared: Some(key.clone()) };
                Some(key)
            }
            Admission::Keys { shared: Some(_) } | Admission::Anyone => None,
        };
        Ok(Self { _mock: mock, key })
    }

    /// The key that was made for this run.
    pub(in crate::cli) fn key(&self) -> Option<&str> {
        self.key.as_ref().map(ApiKey::expose)
    }
}

/// Sixteen random bytes in hexadecimal.
fn random() -> Result<String, Failure> {
    let bytes: [u8; 16] = clock::random().map_err(|error| {
        Failure::new(Exit::Failure, "the system has no randomness to give").cause(error.to_string())
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, what).cause(format!("{}: {error}", path.display()))
}
