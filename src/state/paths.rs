//! The folder layout.

use std::path::{Path, PathBuf};

/// The two roots of all state, and the paths below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
    run: PathBuf,
}

impl Paths {
    /// The roots that `STACK_ROOT`, or else the user's rights, say.
    ///
    /// `env` looks a variable up; `is_root` says whether the effective user is root.
    pub fn resolve(env: impl Fn(&str) -> Option<String>, is_root: bool) -> Self {
        let given = |name: &str| env(name).filter(|value| !value.is_empty());
        if let Some(root) = given("STACK_ROOT") {
            return Self::at(Path::new(&root));
        }
        if is_root {
            return Self {
                root: "/var/lib/stack".into(),
                run: "/run/stack".into(),
            };
        }
        let home = given("HOME").unwrap_or_else(|| "/".to_owned());
        let data = given("XDG_DATA_HOME").unwrap_or_else(|| format!("{home}/.local/share"));
        let root = Path::new(&data).join("stack");
        let run = given("XDG_RUNTIME_DIR")
            .map_or_else(|| root.join("run"), |dir| Path::new(&dir).join("stack"));
        Self { root, run }
    }

    /// Both roots below one directory.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            run: root.join("run"),
        }
    }

    /// The root of what survives a reboot.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The root of what does not.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Both roots as they were handed over by another process.
    pub fn given(root: PathBuf, run: PathBuf) -> Self {
        Self { root, run }
    }

    /// All containers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// One container.
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// All volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// All networks.
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    /// One network.
    pub fn network(&self, name: &str) -> PathBuf {
        self.networks().join(name)
    }

    /// The journal of what happened to containers.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// All projects.
    pub fn projects(&self) -> PathBuf {
        self.root.join("projects")
    }

    /// One project.
    pub fn project(&self, name: &str) -> PathBuf {
        self.projects().join(name)
    }

    /// The logs of one replica of a service: they stay when its container is replaced.
    pub fn logs(&self, project: &str, service: &str, number: u32) -> PathBuf {
        self.project(project)
            .join("logs")
            .join(format!("{service}.{number}"))
    }

    /// The run-time directory of one project.
    pub fn run_project(&self, name: &str) -> PathBuf {
        self.run.join("projects").join(name)
    }

    /// The socket that a project's supervisor answers on.
    pub fn api_socket(&self, project: &str) -> PathBuf {
        self.run_project(project).join("api.sock")
    }

    /// The lock that a project's supervisor holds while it lives.
    pub fn supervisor_lock(&self, project: &str) -> PathBuf {
        self.run_project(project).join("lock")
    }

    /// The directory of the shims' sockets.
    pub fn shims(&self) -> PathBuf {
        self.run.join("shims")
    }

    /// The socket of one container's shim.
    pub fn shim_socket(&self, id: &str) -> PathBuf {
        self.shims().join(format!("{id}.sock"))
    }

    /// The lock held while networks are made or removed: it guards the choice of address ranges.
    pub fn networks_lock(&self) -> PathBuf {
        self.run.join("networks.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(vars: &[(&str, &str)], is_root: bool) -> (String, String) {
        let paths = Paths::resolve(
            |name| {
                vars.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            },
            is_root,
        );
        (
            paths.root.display().to_string(),
            paths.run.display().to_string(),
        )
    }

    #[test]
    fn roots_follow_the_environment_and_the_user() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(resolve(&[], true), pair("/var/lib/stack", "/run/stack"));
        assert_eq!(resolve(&[("STACK_ROOT", "/x")], true), pair("/x", "/x/run"));
        assert_eq!(
            resolve(&[("STACK_ROOT", "")], true),
            pair("/var/lib/stack", "/run/stack")
        );
        assert_eq!(
            resolve(&[("HOME", "/home/a")], false),
            pair(
                "/home/a/.local/share/stack",
                "/home/a/.local/share/stack/run"
            )
        );
        assert_eq!(
            resolve(&[("XDG_DATA_HOME", "/d"), ("XDG_RUNTIME_DIR", "/r")], false),
            pair("/d/stack", "/r/stack")
        );
    }
}
