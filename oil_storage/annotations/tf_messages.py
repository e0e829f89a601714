"""TensorFlow's messages without TensorFlow: ``tf.train.Example`` and the label map of its Object Detection API.

Sources: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto,
https://github.com/tensorflow/models/blob/master/research/object_detection/protos/string_int_label_map.proto
"""

from functools import cache
from typing import Any

SCHEMA = """
name: "oil_storage_tf_messages.proto"
package: "oil_storage"
syntax: "proto2"
message_type {
  name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES }
}
message_type {
  name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT options { packed: true } }
}
message_type {
  name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 options { packed: true } }
}
message_type {
  name: "Feature"
  field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "Int64List" oneof_index: 0 }
  oneof_decl { name: "kind" }
}
message_type {
  name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "FeatureEntry" }
  nested_type {
    name: "FeatureEntry"
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "Feature" }
    options { map_entry: true }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "Features" }
}
message_type {
  name: "StringIntLabelMapItem"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "id" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "display_name" number: 3 label: LABEL_OPTIONAL type: TYPE_STRING }
}
message_type {
  name: "StringIntLabelMap"
  field { name: "item" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "StringIntLabelMapItem" }
}
"""


def parse_example(data: bytes) -> dict[str, list[Any]]:
    """The lists of a serialized ``tf.train.Example`` by key: of bytes, floats or ints.

    Raises:
        ValueError: not such a message.
    """
    from google.protobuf.message import DecodeError

    example = _new("Example")
    try:
        example.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    lists = {}
    for key, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        lists[key] = list(getattr(feature, kind).value) if kind else []
    return lists


def parse_label_map(text: str) -> dict[int, str]:
    """Class names by number, as a ``label_map.pbtxt`` gives them.

    Raises:
        ValueError: not such a text, with line and column.
    """
    from google.protobuf import text_format

    label_map = _new("StringIntLabelMap")
    try:
        text_format.Parse(text, label_map, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise ValueError(str(error)) from error
    return {item.id: item.name or item.display_name for item in label_map.item}


def _new(name: str) -> Any:
    return _message_class(name)()


@cache
def _message_class(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"oil_storage.{name}"))


@cache
def _pool() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, text_format

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(text_format.Parse(SCHEMA, descriptor_pb2.FileDescriptorProto()).SerializeToString())
    return pool
