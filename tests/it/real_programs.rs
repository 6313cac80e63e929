//! Programs that people run: nginx, PostgreSQL, Redis and Python together, and a registry's images.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Stack, eventually, http, machine, stack};

const PORT: u16 = 8080;
/// Where the tests' registry listens; every test has a network of its own.
const REGISTRY: &str = "127.0.0.1:5000";

/// `examples/shop` in a project of its own; its images are made of Debian packages.
fn shop() -> Option<Stack> {
    let stack = Stack::new("", &["mmdebstrap", "skopeo"])?.with_example_images();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop/.");
    machine::run(
        "cp",
        ["-a".as_ref(), files.as_os_str(), stack.dir().as_os_str()],
    );
    Some(stack.with_env("PACKING_TIME", "0.1"))
}

/// `examples/build` in a project of its own.
fn tea_house() -> Option<Stack> {
    let stack = Stack::new("", &["mmdebstrap"])?.with_example_images();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/build/.");
    machine::run(
        "cp",
        ["-a".as_ref(), files.as_os_str(), stack.dir().as_os_str()],
    );
    Some(stack)
}

#[test]
fn the_tea_house_is_built_from_its_files_and_serves_what_was_built() {
    const TEA_HOUSE: u16 = 8081;
    let Some(stack) = tea_house() else { return };
    stack.stack(&["build", "--check"]).succeeds();
    stack.stack(&["build"]).succeeds();
    let key = std::fs::read_to_string(stack.dir().join("signing-key.txt")).expect("a key");
    let kept = Command::new("grep")
        .args(["--recursive", "--files-with-matches", "--fixed-strings"])
        .arg(key.trim())
        .arg(stack.root())
        .output();
    let kept = String::from_utf8(kept.expect("grep").stdout).expect("paths");
    assert_eq!(kept, "", "the key of a step is kept");

    // What `.dockerignore` names is no reason to build anything again.
    stack.file("api/README.md", "other words\n");
    let again = stack.stack(&["build", "--progress", "plain"]).succeeds();
    let steps = again.stderr.matches(" CACHED").count();
    assert_eq!(steps, 12, "{again}");

    stack.up();
    let page = stack.http(TEA_HOUSE);
    assert!(page.contains("Teas of this spring"), "{page}");
    let signature = stack.http_path(TEA_HOUSE, "/api/signature");
    let signature = signature.trim().trim_matches('"');
    assert!(
        page.contains(&format!("<code>{signature}</code>")),
        "{page}"
    );

    let stack = stack.with_env("EDITION", "winter");
    stack.stack(&["up", "-d", "--build"]).succeeds();
    eventually("the page of winter", || {
        let page = http::get(("127.0.0.1", TEA_HOUSE), "/").ok()?;
        page.contains("Teas of this winter").then_some(())
    });
    stack.down();

    let stack = stack.with_env("EDITION", "monsoon");
    stack
        .stack(&["up", "-d", "--build"])
        .fails_with(1)
        .stderr_contains("no edition 'monsoon'; there are: spring, winter")
        .stderr_contains("Dockerfile:6:1");
    assert!(stack.ps().is_empty(), "{:#?}", stack.ps());
}

fn get(path: &str) -> Option<Value> {
    serde_json::from_str(&http::get(("127.0.0.1", PORT), path).ok()?).ok()
}

/// Waits until the shop has shipped an order.
fn wait_for_shipping(order: i64) -> Value {
    eventually(&format!("order {order} is shipped"), || {
        get(&format!("/orders/{order}")).filter(|order| order["status"] == "shipped")
    })
}

fn address(stack: &Stack, service: &str, network: &str) -> Ipv4Addr {
    let container = stack.inspect(&stack.container(service).name);
    let network = format!("{}_{network}", stack.project());
    let address = &container["NetworkSettings"]["Networks"][network]["IPAddress"];
    address
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("an address")
}

#[test]
fn the_shop_sells_and_ships_and_keeps_its_orders() {
    let Some(stack) = shop() else { return };
    stack.up();

    // Its health check looks at its settings: it may not listen yet.
    let page = stack.http(PORT);
    assert!(page.contains("The tea shop"), "{page}");
    let products = eventually("the products", || get("/products"));
    let stock = products[0]["stock"].as_i64().expect("a number");
    let id = &products[0]["id"];
    let body = format!(r#"{{"product": {id}, "quantity": 2}}"#);
    let order = http::post(("127.0.0.1", PORT), "/orders", &body).expect("an order");
    let order: Value = serde_json::from_str(&order).expect("JSON");
    let order = order["id"].as_i64().expect("a number");
    let shipped = wait_for_shipping(order);
    assert_eq!(shipped["quantity"], 2);

    stack.down();
    assert!(TcpStream::connect(("127.0.0.1", PORT)).is_err());
    stack.up();
    assert_eq!(wait_for_shipping(order), shipped);
    let products = eventually("the products", || get("/products"));
    assert_eq!(products[0]["stock"], stock - 2);
}

#[test]
fn the_shops_front_cannot_reach_its_database() {
    let Some(stack) = shop() else { return };
    stack.up();
    let db = address(&stack, "db", "back");
    // The same question from where it may be asked, so that the answer means something.
    for (service, reached) in [("api", true), ("nginx", false)] {
        let lookup = ["exec", "-T", service, "getent", "hosts", "db"];
        assert_eq!(
            stack.stack(&lookup).code == 0,
            reached,
            "{service}: by name"
        );
        let connect = format!("timeout 2 bash -c '</dev/tcp/{db}/5432'");
        let connect = stack.stack(&["exec", "-T", service, "sh", "-c", &connect]);
        assert_eq!(
            connect.code == 0,
            reached,
            "{service}: by address: {connect}"
        );
    }
}

#[test]
fn a_database_that_is_killed_comes_back_with_its_data() {
    let Some(stack) = shop() else { return };
    stack.stack(&["up", "-d", "db"]).succeeds();
    let query = |text: &str| {
        let arguments = ["exec", "-T", "db", "psql", "-U", "shop", "-Atc", text];
        let output = stack.stack(&arguments);
        (output.code == 0).then(|| output.stdout.trim().to_owned())
    };
    // Through the socket it answers while it still sets itself up: healthy is what counts.
    stack.wait_for("db", |row| row.health == "healthy");
    query("create table kept (n int); insert into kept values (42)").expect("a table");
    let pid = stack.pid("db");
    stack.stack(&["kill", "db"]).succeeds();
    stack.wait_for_state("db", "exited");
    stack.stack(&["start", "db"]).succeeds();
    assert_ne!(stack.pid("db"), pid);
    let kept = eventually("the database answers", || query("select n from kept"));
    assert_eq!(kept, "42");
}

/// A registry on this machine with nothing in it.
struct Registry(Child);

impl Registry {
    fn start(stack: &Stack) -> Self {
        let data = stack.root().join("../registry");
        let config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{REGISTRY}'}}\n",
            data.display()
        );
        stack.file("registry.yml", config);
        let child = Command::new("docker-registry")
            .args(["serve", "registry.yml"])
            .current_dir(stack.dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let registry = Self(child.expect("docker-registry"));
        eventually("the registry listens", || TcpStream::connect(REGISTRY).ok());
        registry
    }

    /// Copies the image `busybox` of a store into it.
    fn push(&self, stack: &Stack, name: &str) {
        let images = stack.root().join("images");
        let from = format!("oci:{}:docker.io/library/busybox:latest", images.display());
        let to = format!("docker://{REGISTRY}/{name}");
        machine::run(
            "skopeo",
            [
                "copy",
                "-q",
                "--insecure-policy",
                "--dest-tls-verify=false",
                &from,
                &to,
            ],
        );
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const FROM_REGISTRY: &str = "
services:
  one:
    image: 127.0.0.1:5000/box/one:1.0
    command: echo fetched
";

#[test]
fn up_fetches_an_image_that_only_the_registry_has() {
    let stack = stack!(FROM_REGISTRY, needs: ["docker-registry", "skopeo"]);
    let registry = Registry::start(&stack);
    registry.push(&stack, "box/one:1.0");
    stack.up().stderr_contains("Pulled");
    stack.wait_for_log("one", "fetched");
    // From now on the registry is not needed.
    drop(registry);
    stack.down();
    stack.up().stderr_lacks("Pull");
}

#[test]
fn pull_fetches_what_a_name_means_now() {
    let stack = stack!(FROM_REGISTRY, needs: ["docker-registry", "skopeo"]);
    let registry = Registry::start(&stack);
    registry.push(&stack, "box/one:1.0");
    stack.stack(&["pull"]).succeeds();
    let id = |stack: &Stack| {
        let output = stack
            .stack(&["image", "inspect", "127.0.0.1:5000/box/one:1.0"])
            .succeeds();
        let all: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let image = all.get(0).unwrap_or(&all);
        image["Id"].as_str().expect("an id").to_owned()
    };
    let first = id(&stack);
    stack.up();
    stack.wait_for_log("one", "fetched");
    let container = stack.container("one").id;

    let change = [
        "image",
        "import",
        "--base",
        "busybox",
        "--change",
        "ENV NEW=1",
        "-",
        "busybox",
    ];
    let nothing = stack.dir().join("none");
    std::fs::create_dir(&nothing).expect("a directory");
    std::fs::write(nothing.join("file"), "new").expect("a file");
    let archive = Command::new("tar")
        .arg("-C")
        .arg(&nothing)
        .args(["-cf", "-", "."])
        .output();
    stack
        .stack_with_input(&change, &archive.expect("tar").stdout)
        .succeeds();
    registry.push(&stack, "box/one:1.0");
    stack.stack(&["pull"]).succeeds();
    assert_ne!(id(&stack), first);
    // The image has changed, so the container is not as the file says any more.
    stack.up().stderr_contains("Recreate");
    assert_ne!(stack.container("one").id, container);
}

#[test]
fn an_image_that_the_registry_lacks_is_an_error_that_names_it() {
    let stack = stack!(FROM_REGISTRY, needs: ["docker-registry"]);
    let registry = Registry::start(&stack);
    let output = stack.stack(&["up", "-d"]).fails_with(1);
    output
        .stderr_contains("127.0.0.1:5000/box/one:1.0")
        .stderr_contains("one");
    assert!(stack.ps().is_empty(), "{:#?}", stack.ps());
    drop(registry);
    stack
        .stack(&["up", "-d"])
        .fails_with(1)
        .stderr_contains("127.0.0.1:5000");
}
