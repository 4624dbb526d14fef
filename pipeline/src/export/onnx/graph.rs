//! A computation graph of ONNX: nodes in order, weights, and their encoding (onnx.proto, IR version 8, operators of
//! set 17).

use super::super::message::Message;

const IR_VERSION: u64 = 8;
const OPERATORS: u64 = 17;
/// `TensorProto.DataType`.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
/// `AttributeProto.AttributeType`.
const ONE_INT: u64 = 2;
const INTS: u64 = 7;

/// A graph under construction, whose values have names.
#[derive(Debug, Default)]
pub struct Graph {
    message: Message,
    /// Values so far: those of nodes are numbered.
    count: usize,
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
}

impl Graph {
    /// A graph with the name `name`.
    pub fn new(name: &str) -> Self {
        Self {
            message: Message::default().bytes(2, name),
            count: 0,
        }
    }

    /// Declares an input of shape [N, `shape`].
    pub fn input(&mut self, name: &str, shape: &[usize]) -> String {
        self.add(11, value(name, shape));
        name.to_owned()
    }

    /// Makes the value `of` an output of shape [N, `shape`] with the name `name`.
    pub fn output(&mut self, of: &str, name: &str, shape: &[usize]) {
        let node = node("Identity", &[of], name, &[]);
        self.add(1, node);
        self.add(12, value(name, shape));
    }

    /// A weight of shape `shape` with the little-endian `data`.
    pub fn weight(&mut self, name: &str, shape: &[usize], data: &[u8]) -> String {
        let dims = shape
            .iter()
            .fold(Message::default(), |m, n| m.int(1, *n as u64));
        self.add(5, dims.int(2, FLOAT).bytes(8, name).bytes(9, data));
        name.to_owned()
    }

    /// A single number.
    pub fn number(&mut self, value: f32) -> String {
        let name = self.fresh("number");
        self.weight(&name, &[], &value.to_le_bytes())
    }

    /// A list of integers.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let name = self.fresh("integers");
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = Message::default().int(1, values.len() as u64).int(2, INT64);
        self.add(5, tensor.bytes(8, &name).bytes(9, data));
        name
    }

    /// The output of the operator `operator` for `inputs`.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[Attribute]) -> String {
        let name = self.fresh(operator);
        self.add(1, node(operator, inputs, &name, attributes));
        name
    }

    /// The model, with `metadata`.
    pub fn model(self, metadata: &[(&str, &str)]) -> Vec<u8> {
        let model = Message::default()
            .int(1, IR_VERSION)
            .bytes(2, env!("CARGO_PKG_NAME"))
            .bytes(3, env!("CARGO_PKG_VERSION"))
            .bytes(7, self.message)
            .bytes(8, Message::default().bytes(1, "").int(2, OPERATORS));
        let model = metadata.iter().fold(model, |model, (key, value)| {
            model.bytes(14, Message::default().bytes(1, key).bytes(2, value))
        });
        model.as_ref().to_vec()
    }

    fn fresh(&mut self, word: &str) -> String {
        self.count += 1;
        format!("{}_{}", word.to_lowercase(), self.count)
    }

    fn add(&mut self, field: u64, part: Message) {
        self.message = std::mem::take(&mut self.message).bytes(field, part);
    }
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Attribute]) -> Message {
    let inputs = inputs.iter().fold(Message::default(), |m, i| m.bytes(1, i));
    let node = inputs.bytes(2, output).bytes(3, output).bytes(4, operator);
    attributes.iter().fold(node, |node, attribute| {
        let attribute = match attribute {
            Attribute::Int(name, value) => {
                let attribute = Message::default().bytes(1, name).int(3, *value as u64);
                attribute.int(20, ONE_INT)
            }
            Attribute::Ints(name, values) => {
                let attribute = Message::default().bytes(1, name);
                let values = values.iter().fold(attribute, |m, v| m.int(8, *v as u64));
                values.int(20, INTS)
            }
        };
        node.bytes(5, attribute)
    })
}

/// A value of shape [N, `shape`] of floats.
fn value(name: &str, shape: &[usize]) -> Message {
    let rows = Message::default().bytes(2, "N");
    let dims = Message::default().bytes(1, rows);
    let dims = shape.iter().fold(dims, |dims, n| {
        dims.bytes(1, Message::default().int(1, *n as u64))
    });
    let tensor = Message::default().int(1, FLOAT).bytes(2, dims);
    let of_type = Message::default().bytes(1, tensor);
    Message::default().bytes(1, name).bytes(2, of_type)
}
