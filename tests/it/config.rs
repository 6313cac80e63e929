//! `stack config` and `stack env`: what the files mean, and why.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Stack, eventually, stack};

const SHOP: &str = "
services:
  web:
    image: configured
    env_file: app.env
    environment:
      DEBUG: ${DEBUG:-0}
      CALLER:
    ports: ['${PORT}:80']
  db:
    image: busybox
    profiles: [db]
volumes: {spare: }
";

/// A project with files that say the same things several times.
fn shop() -> Option<Stack> {
    let stack = Stack::new(SHOP, &[])?
        .with_env("CALLER", "yes")
        .with_env("PORT", "8081");
    stack.file("app.env", "# of the app\nDEBUG=2\nLEVEL=info\n");
    stack.file(".env", "PORT=8080\nUNUSED=1\n");
    stack.file(
        "stack.override.yaml",
        "services:\n  web:\n    environment: [DEBUG=1]\n",
    );
    Some(stack)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn config_writes_the_model_to_standard_output_or_into_a_file() {
    let Some(stack) = shop() else { return };
    let printed = stack.stack(&["config"]).succeeds();
    printed.stdout_contains("published: \"8081\"");
    let written = stack.stack(&["config", "-o", "out.yaml"]).succeeds();
    written.stdout_is("").stderr_is("");
    let file = std::fs::read_to_string(stack.dir().join("out.yaml")).unwrap();
    stack.stack(&["config"]).succeeds().stdout_is(&file);
    stack.stack(&["convert"]).succeeds().stdout_is(&file);
    stack.stack(&["config", "-q"]).succeeds().stdout_is("");
    let model = stack.stack(&["config", "--format", "json"]).succeeds();
    assert_eq!(
        json(&model.stdout)["services"]["web"]["environment"]["DEBUG"],
        "1"
    );
}

#[test]
fn config_lists_what_is_asked_for() {
    let Some(stack) = shop() else { return };
    for (flag, lines) in [
        ("--services", "web\n"),
        ("--profiles", "db\n"),
        ("--images", "configured\n"),
        ("--networks", "default\n"),
        ("--volumes", ""),
        ("--models", ""),
    ] {
        stack.stack(&["config", flag]).succeeds().stdout_is(lines);
    }
    let variables = stack.stack(&["config", "--variables"]).succeeds();
    // Only those of the merged files: the override has its own `DEBUG`.
    variables
        .stdout_contains("PORT                false")
        .stdout_lacks("DEBUG");
    let environment = stack.stack(&["config", "--environment"]).succeeds();
    environment
        .stdout_contains("PORT=8081\n")
        .stdout_contains("UNUSED=1\n");
    let raw = stack.stack(&["config", "--no-interpolate"]).succeeds();
    raw.stdout_contains("${PORT}:80");
}

#[test]
fn config_says_what_is_wrong_with_the_command_line() {
    let Some(stack) = shop() else { return };
    for (arguments, says) in [
        (
            &["config", "wbe"][..],
            "error: no such service: wbe\n  help: did you mean `web`?\n",
        ),
        (
            &["config", "--hash", "wbe"],
            "error: no such service: wbe\n  help: did you mean `web`?\n",
        ),
        (
            &["config", "--format", "table"],
            "error: the model cannot be printed as a table\n  help: use `--format yaml` or `--format json`; only `--variables` is a table\n",
        ),
        (
            &["config", "-o", "no/such/directory"],
            "error: cannot write no/such/directory\n  caused by: No such file or directory (os error 2)\n",
        ),
        (
            &["config", "--explain", "web.enviroment"],
            "error: there is no `enviroment` in `services.web`\n  help: did you mean `environment`?\n",
        ),
        (
            &["env", "wbe"],
            "error: no such service: wbe\n  help: did you mean `web`?\n",
        ),
    ] {
        let output = stack.stack(arguments).fails_with(1);
        output.stdout_is("").stderr_is(says);
    }
}

#[test]
fn explain_tells_the_place_of_a_value_and_of_what_it_replaced() {
    let Some(stack) = shop() else { return };
    let port = stack.stack(&["config", "--explain", "web.ports[0].published"]);
    port.succeeds().stdout_is(
        "services.web.ports[0].published = \"8081\"
  stack.yaml:9:13  ports: ['${PORT}:80']  (short form)
    PORT = \"8081\" from the environment of the caller, over .env:1
",
    );
    let debug = [
        "config",
        "--explain",
        "web.environment.DEBUG",
        "--format",
        "json",
    ];
    let debug = json(&stack.stack(&debug).succeeds().stdout);
    assert_eq!(
        (
            &debug["value"],
            &debug["origin"]["file"],
            &debug["origin"]["line"]
        ),
        (&"\"1\"".into(), &"stack.override.yaml".into(), &3.into())
    );
    let layers = debug["shadowed"].as_array().unwrap().iter();
    let layers: Vec<&Value> = layers.map(|shadowed| &shadowed["layer"]).collect();
    assert_eq!(layers, ["file", "env_file"]);
}

#[test]
fn env_explain_goes_down_to_the_image() {
    let Some(stack) = shop() else { return };
    let all = stack.stack(&["env", "web"]).succeeds();
    all.stdout_contains("image configured");
    let explained = stack.stack(&["env", "explain", "web", "FROM_IMAGE"]);
    explained
        .succeeds()
        .stdout_is("web: FROM_IMAGE = 'yes'\n  default of the image configured\n");
    stack.file(
        "stack.override.yaml",
        "services:\n  web:\n    environment: [OVERRIDDEN=mine]\n",
    );
    let explained = stack
        .stack(&["env", "explain", "web", "OVERRIDDEN"])
        .succeeds();
    explained
        .stdout_contains("web: OVERRIDDEN = mine\n")
        .stdout_contains("image, the default of the image configured");
}

#[test]
fn env_explain_says_where_a_variable_was_looked_for() {
    let Some(stack) = shop() else { return };
    let missing = stack.stack(&["env", "explain", "web", "UNUSED"]);
    missing.fails_with(1).stderr_is("").stdout_is(
        "web: UNUSED is not set
  looked for in, the nearest first:
    environment, at stack.override.yaml:3:5
    the environment file of stack.yaml:5:15  env_file: app.env
    the image configured
  .env:2 has a UNUSED, but a container only gets what `environment` names:
    write `- UNUSED` there to pass it on
",
    );
    let alike = stack
        .stack(&["env", "explain", "web", "debgu"])
        .fails_with(1);
    alike.stdout_contains("did you mean `DEBUG`?");
}

/// Debian's registry, on this machine; it ends with the test.
struct Registry {
    process: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    fn start(dir: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.unwrap().to_string();
        let config = dir.join("registry.yml");
        let data = dir.join("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        eventually("the registry answers", || TcpStream::connect(&address).ok());
        Self { process, address }
    }

    /// Copies an image of the store there; its digest.
    fn push(&self, stack: &Stack, image: &str) -> String {
        let name = format!("{}/{image}", self.address);
        let layout = stack.root().join("images");
        let mut copy = Command::new("skopeo");
        copy.args([
            "copy",
            "--insecure-policy",
            "--dest-tls-verify=false",
            "--preserve-digests",
        ]);
        copy.arg(format!(
            "oci:{}:docker.io/library/{image}:latest",
            layout.display()
        ));
        copy.arg(format!("docker://{name}"));
        let output = copy.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut inspect = Command::new("skopeo");
        inspect.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"]);
        let output = inspect.arg(format!("docker://{name}")).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn config_names_images_by_the_digests_of_their_registry() {
    let stack = stack!("services: {}", needs: ["docker-registry", "skopeo"]);
    let registry = Registry::start(stack.root().parent().unwrap());
    let digest = registry.push(&stack, "busybox");
    let name = format!("{}/busybox", registry.address);
    stack.file(
        "stack.yaml",
        format!(
            "services:\n  a: {{image: '{name}', command: x}}\n  b: {{image: '{name}:latest@{digest}'}}\n  c: {{image: '{name}:no'}}\n"
        ),
    );
    let pinned = format!("{name}:latest@{digest}");
    let both = ["config", "--resolve-image-digests", "a", "b"];
    let resolved = stack.stack(&both).succeeds();
    resolved
        .stdout_contains(&format!("image: {pinned}\n"))
        .stdout_contains(&format!("image: {name}@{digest}\n"))
        .stdout_contains("command:\n");
    let locked = stack
        .stack(&["config", "--lock-image-digests", "a"])
        .succeeds();
    locked.stdout_is(&format!("services:\n  a:\n    image: {pinned}\n"));
    let missing = stack.stack(&["config", "--resolve-image-digests"]);
    missing
        .fails_with(1)
        .stdout_is("")
        .stderr_contains(&format!("cannot find the digest of {name}:no"));
}
