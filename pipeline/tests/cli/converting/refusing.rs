//! What cannot be converted: one message each, exit code 2, and nothing written.

use super::{idx, npy};
use crate::project::Project;

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..3 * width * height).map(|i| (i * 37) as u8).collect();
    writer.write_image_data(&pixels).unwrap();
    drop(writer);
    bytes
}

#[test]
fn bad_input_is_named_with_what_was_found_and_leaves_nothing() {
    let project = Project::new();
    let fours =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let whole = png(6, 5);
    for folder in [
        "none",
        "sizes",
        "cut",
        "both/a",
        "hole/a",
        "hole/b",
        "webp",
        "deep/train/a",
    ] {
        std::fs::create_dir_all(project.path(folder)).unwrap();
    }
    for (name, bytes) in [
        ("objects.npy", npy("|O", "(3,)", b"\x80\x03]q\0.")),
        ("complex.npy", npy("<c8", "(1, 1)", &[0; 8])),
        ("text.npy", npy("<U2", "(1,)", &[0; 8])),
        ("short.npy", npy("<f4", "(2, 2)", &[0; 15])),
        (
            "nan.npy",
            npy(
                "<f4",
                "(3, 2)",
                &fours(&[0.0, 1.0, 2.0, f32::NAN, 4.0, 5.0]),
            ),
        ),
        ("labels.npy", npy("<i8", "(2,)", &[0; 16])),
        ("wide.npy", npy("<i8", "(1, 1)", &i64::MAX.to_le_bytes())),
        ("empty.npy", npy("<f4", "(0, 4)", &[])),
        ("last.npy", npy("|u1", "(1, 6, 5, 3)", &[0; 90])),
        ("nothing.npy", Vec::new()),
        ("images-idx3-ubyte", idx(&[2, 2, 2], &[0; 7])),
        ("images.idx", idx(&[2, 2, 2], &[0; 8])),
        ("three-idx1-ubyte", idx(&[3], &[0; 3])),
        ("mixed.csv", b"a,b\n1,2\n3\n".to_vec()),
        ("words.csv", b"a,b\n1,x\n2,y\n".to_vec()),
        ("gap.csv", b"a,b\n1,\n".to_vec()),
        ("twice.csv", b"a,a\n1,2\n".to_vec()),
        ("large.csv", b"a\n1\n9007199254740993\n".to_vec()),
        ("unnamed.csv", b"1,2,wren\n3,4,owl\n".to_vec()),
        ("unlabelled.csv", b"a,label\n1,3\n2,\n4,5\n".to_vec()),
        ("half.csv", b"x,1\n3,4\n".to_vec()),
        ("head.csv", b"a,b\n".to_vec()),
        ("cut.parquet", b"PAR1abcdef".to_vec()),
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{\"x\":".to_vec()),
        ("cut.npz", b"PK\x03\x04rest".to_vec()),
        ("code.pt", b"cposix\nsystem\n(S'touch ran'\ntR.".to_vec()),
        (
            "code.pkl",
            b"\x80\x02cposix\nsystem\nX\x09\0\0\0touch ran\x85R.".to_vec(),
        ),
        ("notes.txt", b"some text".to_vec()),
        ("one.png", whole.clone()),
        ("sizes/a.png", whole.clone()),
        ("sizes/b.png", png(5, 5)),
        ("cut/a.png", whole[..whole.len() - 30].to_vec()),
        ("both/a.png", whole.clone()),
        ("both/a/b.png", whole.clone()),
        ("hole/a/b.png", whole.clone()),
        ("webp/a.webp", b"RIFF".to_vec()),
        ("deep/train/a/b.png", whole.clone()),
    ] {
        project.write(name, bytes);
    }
    let before = project.entries(".");
    for (line, parts) in [
        (
            "objects.npy",
            &[
                "objects.npy",
                "Python objects",
                "could run code",
                "np.stack",
            ][..],
        ),
        ("complex.npy", &["the type `<c8`", "float32"]),
        ("text.npy", &["the type `<U2`", "np.unique"]),
        ("short.npy", &["15 bytes", "expected 16", "truncated"]),
        (
            "nan.npy",
            &["not finite in `features`, item 1 of 3", "--keep-non-finite"],
        ),
        ("labels.npy", &["2 labels alone", "--labels labels.npy"]),
        ("wide.npy", &["beyond 2^53 at item 0"]),
        ("empty.npy", &["shape [0, 4]"]),
        (
            "last.npy",
            &["[1, 6, 5, 3]", "--channels last", "--channels first"],
        ),
        ("last.npy --channels none", &["expected images [N, H, W]"]),
        ("nothing.npy", &["an empty file"]),
        ("gone.npy", &["no file or folder gone.npy"]),
        ("images-idx3-ubyte", &["23 bytes, expected 24", "truncated"]),
        (
            "images.idx --labels three-idx1-ubyte",
            &["3 labels, expected 2", "images.idx"],
        ),
        (
            "images.idx --labels images.idx",
            &["expected one array of integers"],
        ),
        ("images.idx --only x", &["--only", "leave it out"]),
        ("mixed.csv", &["1 fields in line 3, expected 2"]),
        (
            "words.csv",
            &["`x` in column `b` of line 2", "--only a`", "--labels b"],
        ),
        ("words.csv --only c", &["no column `c`", "a, b"]),
        ("gap.csv", &["an empty field in column `b` of line 2"]),
        ("twice.csv", &["two columns `a`"]),
        (
            "large.csv",
            &["9007199254740993", "line 3", "f64 holds exactly"],
        ),
        (
            "unnamed.csv",
            &[
                "`wren` in column `3` of line 1",
                "`--only 1,2`",
                "`--labels 3`",
            ],
        ),
        ("unlabelled.csv", &["line 3, column `label`", "empty label"]),
        ("half.csv", &["`x` in column `1`", "rename those"]),
        ("head.csv", &["no row after the names"]),
        ("cut.parquet", &["cannot be read", "truncated"]),
        ("cut.safetensors", &["damaged safetensors file"]),
        ("cut.npz", &["a damaged archive"]),
        ("code.pt", &["code.pt", "which is not run"]),
        ("code.pkl", &["a pickle, which may hold code"]),
        ("notes.txt", &["a file that starts with", ".npy"]),
        ("one.png", &["one image", "name its folder"]),
        ("none", &["no PNG or JPEG images", "put images into it"]),
        (
            "sizes",
            &[
                "sizes/b.png: found 5 x 5 pixels, expected 5 x 6",
                "sizes/a.png",
            ],
        ),
        ("cut", &["cut/a.png", "truncated or damaged"]),
        ("both", &["1 images beside folders"]),
        ("hole", &["hole/b", "the class `b`"]),
        ("webp", &["webp/a.webp", "expected PNG or JPEG"]),
        ("deep", &["convert each of its folders", "deep/train"]),
    ] {
        let mut words: Vec<&str> = ["convert"].into_iter().chain(line.split(' ')).collect();
        words.insert(2, "out.h5");
        let done = project.run(&words);
        done.expect(2, parts);
        assert_eq!(done.stderr.matches("error").count(), 1, "{done}");
        assert_eq!(project.entries("."), before, "{line}");
    }
}
