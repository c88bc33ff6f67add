"""One form for an ONNX graph: the same network gives the same bytes, and the bytes tell of nothing else.

Exporters write source paths, stack traces and long names into a file (up to 44 % of a small one). What
stays is what a runtime computes with.
"""

from collections.abc import Iterable, Iterator
from itertools import count

import onnx

from covey.errors import InputError


def canonical(model: onnx.ModelProto) -> bytes:
    """Stripped of metadata, renamed, checked and serialised. `model` is left as it is.

    Names of the graph's inputs and outputs stay; values become v0, v1... and nodes n0, n1... in graph order.

    Raises:
        InputError: The graph holds subgraphs (If, Loop).
    """
    graph = _without_subgraphs(model.graph)
    names = _short_names(graph)
    nodes = [_node(node, f"n{index}", names) for index, node in enumerate(graph.node)]
    clean = onnx.helper.make_graph(
        nodes,
        "model",
        [_value(each) for each in graph.input],
        [_value(each) for each in graph.output],
        [_tensor(each, names[each.name]) for each in graph.initializer],
    )
    # Names of domains that no node uses are traces of the tool that wrote the file.
    used = {node.domain for node in nodes}
    opsets = [
        onnx.helper.make_opsetid(each.domain, each.version)
        for each in model.opset_import
        if each.domain in used
    ]
    result = onnx.helper.make_model(clean, ir_version=model.ir_version, opset_imports=opsets)
    onnx.checker.check_model(result, full_check=True)
    serialised: bytes = result.SerializeToString(deterministic=True)
    return serialised


def _without_subgraphs(graph: onnx.GraphProto) -> onnx.GraphProto:
    kinds = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    if any(attribute.type in kinds for node in graph.node for attribute in node.attribute):
        raise InputError("the network's graph branches or loops", hint="use tensor operations only")
    return graph


def _short_names(graph: onnx.GraphProto) -> dict[str, str]:
    """Old name to new, for every value in the graph; the empty name marks an absent optional input."""
    kept = {"", *(each.name for each in graph.input), *(each.name for each in graph.output)}
    fresh = (short for short in map("v{}".format, count()) if short not in kept)
    names = {name: name for name in kept}
    for name in _value_names(graph):
        if name not in names:
            names[name] = next(fresh)
    return names


def _value_names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (each.name for each in graph.initializer)
    for node in graph.node:
        yield from node.output


def _node(node: onnx.NodeProto, name: str, names: dict[str, str]) -> onnx.NodeProto:
    result = onnx.NodeProto(op_type=node.op_type, domain=node.domain, name=name)
    result.input.extend(names[each] for each in node.input)
    result.output.extend(names[each] for each in node.output)
    result.attribute.extend(_attributes(node.attribute))
    return result


def _attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.AttributeProto]:
    for each in sorted(attributes, key=lambda attribute: attribute.name):
        copy = onnx.AttributeProto()
        copy.CopyFrom(each)
        copy.ClearField("doc_string")
        yield copy


def _value(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=value.name, type=value.type)


def _tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), name)
