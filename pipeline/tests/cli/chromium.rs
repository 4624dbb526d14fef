//! Headless Chromium, controlled through two pipes: the DevTools protocol as JSON messages that end in
//! a zero byte.

use crate::project::skipped;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// If set to 1, a test that needs a browser fails without one instead of being skipped.
const REQUIRED: &str = "LATENT_ALIGN_REQUIRE_BROWSER";
/// The longest wait for an answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A page in its own browser, which ends with it.
pub struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    session: Value,
    last: u64,
    /// What happened, in order.
    pub events: VecDeque<Value>,
}

impl Browser {
    /// A browser with its files in `folder`. None, with the reason on stderr, if there is no browser.
    pub fn start(folder: &Path) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
        let finds = |name: &&&str| {
            let mut version = Command::new(name);
            version.arg("--version").stdout(Stdio::null());
            version
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        };
        let Some(name) = names.iter().find(finds) else {
            let required = std::env::var(REQUIRED).is_ok_and(|v| v == "1");
            assert!(!required, "{REQUIRED}=1, and no Chromium is installed");
            skipped("no Chromium is installed (Debian: apt-get install chromium)");
            return None;
        };
        let profile = format!("--user-data-dir={}", folder.join("chromium").display());
        // the browser uses descriptors 3 and 4, which the shell maps to its own input and output
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
                name,
            ])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-sync",
                "--no-first-run",
                "--disable-dev-shm-usage",
                &profile,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, out) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0) {
                let Ok(message) = message else { return };
                if sender
                    .send(serde_json::from_slice(&message).unwrap())
                    .is_err()
                {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            session: Value::Null,
            last: 0,
            events: VecDeque::new(),
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// The browser's answer to `method`.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let to = self.to.as_mut().unwrap();
        to.write_all(message.to_string().as_bytes()).unwrap();
        to.write_all(&[0]).unwrap();
        to.flush().unwrap();
        loop {
            let answer = self.receive(method);
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push_back(answer);
        }
    }

    #[track_caller]
    fn receive(&self, what: &str) -> Value {
        let answer = self.from.recv_timeout(PATIENCE);
        answer.unwrap_or_else(|e| panic!("{what}: no answer of the browser: {e}"))
    }

    /// Opens `file` in a window `width` pixels wide, and waits until it is loaded.
    #[track_caller]
    pub fn open(&mut self, file: &Path, width: u32) {
        self.resize(width);
        let url = format!("file://{}", file.canonicalize().unwrap().display());
        let navigated = self.call("Page.navigate", json!({"url": url}));
        assert!(navigated["errorText"].is_null(), "{navigated}");
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        let mut seen = self.events.iter().any(loaded);
        while !seen {
            let event = self.receive("loading");
            seen = loaded(&event);
            self.events.push_back(event);
        }
    }

    /// Makes the window `width` pixels wide.
    pub fn resize(&mut self, width: u32) {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Sets the preferred colour scheme.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// The value of a JavaScript expression in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let wanted = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let found = self.call("Runtime.evaluate", wanted);
        let thrown = &found["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {thrown}");
        found["result"]["value"].clone()
    }

    /// Moves the mouse to a position in the window, and optionally clicks there.
    pub fn point(&mut self, x: f64, y: f64, click: bool) {
        let kinds: &[&str] = match click {
            true => &["mouseMoved", "mousePressed", "mouseReleased"],
            false => &["mouseMoved"],
        };
        for kind in kinds {
            let mut event = json!({"type": kind, "x": x, "y": y});
            if *kind != "mouseMoved" {
                event["button"] = json!("left");
                event["clickCount"] = json!(1);
            }
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// All errors in the page so far: exceptions, and errors on its console or in its log.
    pub fn errors(&self) -> Vec<&Value> {
        let wrong = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events.iter().filter(wrong).collect()
    }

    /// The addresses of all requests, except for the page itself.
    pub fn requests(&self) -> Vec<&str> {
        let sent = |e: &&Value| e["method"] == "Network.requestWillBeSent";
        let urls = self.events.iter().filter(sent);
        let urls = urls.filter_map(|e| e["params"]["request"]["url"].as_str());
        urls.filter(|url| !url.starts_with("data:")).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // it ends once its pipes are closed, together with its helpers
        self.to = None;
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
