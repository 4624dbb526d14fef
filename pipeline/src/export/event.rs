//! TensorBoard events, with field numbers from `event.proto`, `summary.proto` and, for hyperparameters,
//! `plugin_data.proto`.

use super::message::Message;
use super::record;
use serde_json::Value;

/// An event file under construction.
#[derive(Debug)]
pub struct EventFile {
    bytes: Vec<u8>,
    /// Time of all events, in seconds since 1970.
    time: f64,
}

/// The contents of an event.
#[derive(Debug, Default)]
pub struct Summary(Message);

impl EventFile {
    /// A file whose events all have the same `time`, in seconds since 1970.
    pub fn new(time: f64) -> Self {
        let mut file = Self {
            bytes: Vec::new(),
            time,
        };
        file.event(Message::default().bytes(3, "brain.Event:2"));
        file
    }

    /// Adds `summary` at `step`.
    pub fn add(&mut self, step: u64, summary: &Summary) {
        self.event(Message::default().int(2, step).bytes(5, &summary.0));
    }

    /// The bytes of the file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn event(&mut self, message: Message) {
        record::append(&mut self.bytes, message.double(1, self.time).as_ref());
    }
}

impl Summary {
    /// A number, stored by TensorBoard in 32 bits.
    pub fn scalar(self, tag: &str, value: f64) -> Self {
        self.value(tag, |v| v.float(2, value as f32))
    }

    /// A PNG image of `width` x `height` pixels.
    pub fn image(self, tag: &str, [width, height]: [u32; 2], channels: u64, png: &[u8]) -> Self {
        let image = Message::default()
            .int(1, height.into())
            .int(2, width.into())
            .int(3, channels)
            .bytes(4, png);
        self.value(tag, |v| v.bytes(4, image))
    }

    /// Markdown.
    pub fn text(self, tag: &str, text: &str) -> Self {
        const STRING: u64 = 7;
        let scalar = Message::default(); // a shape without axes
        let tensor = Message::default()
            .int(1, STRING)
            .bytes(2, scalar)
            .bytes(8, text);
        self.value(tag, |v| v.bytes(8, tensor).bytes(9, plugin("text", [])))
    }

    /// The start of a session with these hyperparameters; values other than numbers, texts and booleans
    /// are written as JSON.
    pub fn hyperparameters(self, of: &[(String, &Value)], start: f64) -> Self {
        let mut session = Message::default().double(5, start);
        for (name, value) in of {
            let value = match value {
                Value::Number(n) => Message::default().double(2, n.as_f64().unwrap_or(f64::NAN)),
                Value::String(text) => Message::default().bytes(3, text),
                Value::Bool(b) => Message::default().int(4, u64::from(*b)),
                other => Message::default().bytes(3, other.to_string()),
            };
            session = session.bytes(1, Message::default().bytes(1, name).bytes(2, value));
        }
        self.session("_hparams_/session_start_info", 3, session)
    }

    /// The end of the session.
    pub fn session_end(self, time: f64) -> Self {
        const SUCCESS: u64 = 1;
        let end = Message::default().int(1, SUCCESS).double(2, time);
        self.session("_hparams_/session_end_info", 4, end)
    }

    fn session(self, tag: &str, field: u64, content: Message) -> Self {
        let content = Message::default().bytes(field, content);
        self.value(tag, |v| v.bytes(9, plugin("hparams", content)))
    }

    fn value(self, tag: &str, what: impl FnOnce(Message) -> Message) -> Self {
        Self(self.0.bytes(1, what(Message::default().bytes(1, tag))))
    }
}

/// Metadata of a value for a TensorBoard plugin.
fn plugin(name: &str, content: impl AsRef<[u8]>) -> Message {
    let data = Message::default().bytes(1, name).bytes(2, content);
    Message::default().bytes(1, data)
}
