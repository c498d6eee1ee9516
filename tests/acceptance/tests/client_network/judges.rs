//! Clients that people use beside the agent, where this machine has them: Terraform's consul provider
//! (`HCS_CONSUL_PROVIDER_DIR`, a folder with its program), consul-template (`HCS_CONSUL_TEMPLATE_BIN`) and
//! consul-dataplane (`HCS_CONSUL_DATAPLANE_BIN`, Consul 1.14 and newer), and HashiCorp's Helm chart (`HCS_HELM_BIN` with
//! the chart's folder in `HCS_CONSUL_CHART_DIR`). Those that are not named are left out, and the
//! test says so.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use hcs_acceptance::client::HandedOut;
use hcs_acceptance::docs::CONSUL_PROVIDER;
use hcs_acceptance::network::{Spoke, dns};

use super::{Case, Done};

/// The programs at hand.
pub(crate) struct Judges {
    provider: Option<PathBuf>,
    template: Option<PathBuf>,
    dataplane: Option<PathBuf>,
    helm: Option<PathBuf>,
    chart: Option<PathBuf>,
}

impl Judges {
    pub(crate) fn of_environment() -> Self {
        let of = |name: &str| {
            let path = std::env::var_os(name).map(PathBuf::from);
            if path.is_none() {
                println!("left out: {name} names no program");
            }
            path
        };
        Self {
            provider: of("HCS_CONSUL_PROVIDER_DIR"),
            template: of("HCS_CONSUL_TEMPLATE_BIN"),
            dataplane: of("HCS_CONSUL_DATAPLANE_BIN"),
            helm: of("HCS_HELM_BIN"),
            chart: of("HCS_CONSUL_CHART_DIR"),
        }
    }

    /// The first apply makes what the other provider manages beside the cluster, in one configuration.
    pub(crate) fn prepare(&self, case: &Case) -> Done {
        let Some(provider) = &self.provider else { return Ok(()) };
        let file = case.scenario.terraform.dir.join(".terraformrc");
        let text = fs::read_to_string(&file)?;
        let own = format!(
            "provider_installation {{\n  dev_overrides {{ \"hashicorp/consul\" = \"{}\" }}",
            provider.display()
        );
        fs::write(&file, text.replacen("provider_installation {", &own, 1))?;
        case.scenario.terraform.write("consul.tf", CONSUL_PROVIDER)?;
        Ok(case.scenario.terraform.add("client_network/judge.tf")?)
    }

    pub(crate) fn judge(&self, case: &Case) -> Done {
        let terraform = &case.scenario.terraform;
        let handed = HandedOut::read(&terraform.dir)?;
        if self.provider.is_some() {
            terraform.plan(&[])?.expect_code(0)?;
        }
        if let Some(template) = &self.template {
            renders(case, template, &handed, self.provider.is_some())?;
        }
        if let Some(dataplane) = &self.dataplane {
            connects(case, dataplane, &handed)?;
        }
        if let (Some(helm), Some(chart)) = (&self.helm, &self.chart) {
            terraform.add("client_network/values.tf")?;
            terraform.apply(&[])?;
            installs(case, helm, chart)?;
            terraform.remove("values.tf")?;
        }
        if self.provider.is_some() {
            terraform.remove("judge.tf")?;
            let applied = terraform.apply(&[])?;
            assert!(applied.words().contains("4 destroyed"), "{}", applied.words());
            terraform.remove("consul.tf")?;
        }
        Ok(())
    }
}

/// consul-template reads keys and services over HTTPS, by the name.
fn renders(case: &Case, program: &PathBuf, handed: &HandedOut, has_key: bool) -> Done {
    let dir = case.scenario.dir.join("template");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("ca.pem"), &handed.ca)?;
    let key = if has_key { "judge/key" } else { "from-afar" };
    let template = format!(
        "{{{{ key \"{key}\" }}}}\n{{{{ range service \"consul\" }}}}{{{{ .Address }}}} {{{{ end }}}}\n"
    );
    fs::write(dir.join("a.ctmpl"), template)?;
    let at = |name: &str| dir.join(name).display().to_string();
    let files = format!("{}:{}", at("a.ctmpl"), at("a.txt"));
    let output = case
        .spoke
        .command(program)
        .args(["-consul-addr", "consul.apart.hcs.internal:8501", "-consul-ssl"])
        .args(["-consul-ssl-ca-cert", &at("ca.pem"), "-template", &files, "-once"])
        .env("CONSUL_HTTP_TOKEN", &handed.root)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let rendered = fs::read_to_string(dir.join("a.txt"))?;
    let first = if has_key { "from the provider" } else { "yes" };
    assert!(rendered.starts_with(first), "{rendered}");
    assert!(case.addresses()?.iter().all(|address| rendered.contains(address)), "{rendered}");
    Ok(())
}

/// consul-dataplane finds the servers by the name, verifies them on 8503, and answers DNS through them.
fn connects(case: &Case, program: &PathBuf, handed: &HandedOut) -> Done {
    let dir = case.scenario.dir.join("dataplane");
    fs::create_dir_all(&dir)?;
    let ca = dir.join("ca.pem");
    fs::write(&ca, &handed.ca)?;
    let log = dir.join("log");
    let output = fs::File::create(&log)?;
    let host = Spoke::HOST.to_string();
    let child = case
        .spoke
        .command(program)
        .args(["-mode", "dns-proxy", "-addresses", "consul.apart.hcs.internal"])
        .args(["-grpc-port", "8503", "-ca-certs", &ca.display().to_string()])
        .args(["-tls-server-name", "server.apart.consul", "-credential-type", "static"])
        .args(["-consul-dns-bind-addr", &host, "-consul-dns-bind-port", "8653"])
        .env("DP_CREDENTIAL_STATIC_TOKEN", &handed.root)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let _running = Running(child);
    let started = Instant::now();
    let resolver = SocketAddr::from((IpAddr::from(Spoke::HOST), 8653));
    loop {
        let found = dns::ask(resolver, "consul.service.consul").unwrap_or_default();
        let told = fs::read_to_string(&log)?;
        if !found.is_empty() && told.contains("connected to Consul server") {
            let known = case.addresses()?;
            let all = found.iter().all(|address| known.contains(&address.to_string()));
            assert!(all, "{found:?} are not {known:?}");
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(40) {
            return Err(format!("consul-dataplane does not connect: {found:?} {told}").into());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The chart takes the values, and what it makes talks to the cluster: by the name, on 8501 and 8503, verified.
fn installs(case: &Case, helm: &PathBuf, chart: &PathBuf) -> Done {
    let values = case.scenario.terraform.run(&["output", "-raw", "values"])?.expect_code(0)?.stdout;
    let file = case.scenario.dir.join("values.yaml");
    fs::write(&file, values)?;
    let output = std::process::Command::new(helm)
        .args(["template", "consul"])
        .arg(chart)
        .arg("--values")
        .arg(&file)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let made = String::from_utf8_lossy(&output.stdout).into_owned();
    fs::write(case.scenario.dir.join("manifests.yaml"), &made)?;
    for words in [
        "consul.apart.hcs.internal",
        "server.apart.consul",
        "8501",
        "8503",
        "apart-bootstrap-token",
        "consul-ca-cert",
        "https://aks.example:443",
    ] {
        assert!(made.contains(words), "{words} is in no manifest");
    }
    assert!(!made.contains("kind: StatefulSet"), "the chart runs servers of its own");
    Ok(())
}

/// Ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
