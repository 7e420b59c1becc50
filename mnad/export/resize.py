"""Resizing inside the graph, bit for bit what OpenCV does to uint8 (:func:`mnad.data.reading.resize`).

Area averaging where both sides shrink, bilinear interpolation else, with OpenCV's own arithmetic (``resize.cpp``):

- bilinear: half-pixel centres, weights in 1/2048, products cut to 1/4 of a grey level, sum rounded half up;
- area by whole factors: integer sums times a float32 reciprocal, rounded half to even; 2 x 2 in integers, half up;
- area by other factors: float32 sums, along each row first, in the order of the pixels, rounded half to even.

One grey level is a third of the unit of the wells' score, so nothing less would give the same scores.

The module is a script of ONNX operators (onnxscript), not Python: it is only ever translated.
"""

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.inliner import inline_local_functions
from onnxscript import DOUBLE, FLOAT, INT32, INT64, UINT8, script
from onnxscript import opset18 as op
from onnxscript.values import Opset

LIBRARY = Opset("mnad.resize", 1)


@script(LIBRARY, default_opset=op)
def positions(size: INT64, count: INT64):
    """Where the ``count`` pixels of the new side lie on the old one: whole part and rest, float32."""
    scale = op.Cast(size, to=DOUBLE.dtype) / op.Cast(count, to=DOUBLE.dtype)
    index = op.Cast(op.Range(0, count, 1), to=DOUBLE.dtype)
    half = op.Cast(op.Constant(value_float=0.5), to=DOUBLE.dtype)
    position = op.Cast((index + half) * scale - half, to=FLOAT.dtype)
    whole = op.Floor(position)
    return whole, position - whole


@script(LIBRARY, default_opset=op)
def fixed_point(rest):
    """Weights of a pixel and its right neighbour in 1/2048, int32."""
    right = op.Cast(op.Round(rest * 2048.0), to=INT32.dtype)
    left = op.Cast(op.Round((1.0 - rest) * 2048.0), to=INT32.dtype)
    return left, right


@script(LIBRARY, default_opset=op)
def bilinear(images, height: INT64, width: INT64):
    """INTER_LINEAR of uint8."""
    shape = op.Shape(images)
    rows = op.Squeeze(op.Slice(shape, [1], [2]))
    columns = op.Squeeze(op.Slice(shape, [2], [3]))
    last_column = op.Cast(columns - 1, to=FLOAT.dtype)
    x, x_rest = positions(columns, width)
    x_rest = op.Where(op.Or(x < 0.0, x >= last_column), x_rest * 0.0, x_rest)
    x = op.Clip(x, 0.0, last_column)
    x_left, x_right = fixed_point(x_rest)
    x_index = op.Cast(x, to=INT64.dtype)
    x_next = op.Min(x_index + 1, columns - 1)
    left = op.Cast(op.Gather(images, x_index, axis=2), to=INT32.dtype) * op.Unsqueeze(x_left, [1])
    right = op.Cast(op.Gather(images, x_next, axis=2), to=INT32.dtype) * op.Unsqueeze(x_right, [1])
    lines = (left + right) / op.Cast(16, to=INT32.dtype)  # N x H x width x 3
    y, y_rest = positions(rows, height)
    y_up, y_down = fixed_point(y_rest)
    y_index = op.Cast(y, to=INT64.dtype)
    y_first = op.Max(y_index, 0)
    y_next = op.Min(y_index + 1, rows - 1)
    one = op.Cast(65536, to=INT32.dtype)
    up = op.Gather(lines, y_first, axis=1) * op.Unsqueeze(y_up, [1, 2]) / one
    down = op.Gather(lines, y_next, axis=1) * op.Unsqueeze(y_down, [1, 2]) / one
    return op.Cast((up + down + op.Cast(2, to=INT32.dtype)) / op.Cast(4, to=INT32.dtype), to=UINT8.dtype)


@script(LIBRARY, default_opset=op)
def area_by_whole_factors(images, height: INT64, width: INT64):
    """INTER_AREA of uint8 by whole factors."""
    shape = op.Shape(images)
    count = op.Slice(shape, [0], [1])
    high = op.Slice(shape, [1], [2]) / height
    wide = op.Slice(shape, [2], [3]) / width
    three = op.Slice(shape, [3], [4])
    blocks = op.Concat(count, op.Reshape(height, [1]), high, op.Reshape(width, [1]), wide, three, axis=0)
    total = op.ReduceSum(op.Cast(op.Reshape(images, blocks), to=INT32.dtype), [2, 4], keepdims=0)
    quarter = op.Cast((total + op.Cast(2, to=INT32.dtype)) / op.Cast(4, to=INT32.dtype), to=UINT8.dtype)
    mean = op.Cast(total, to=FLOAT.dtype) * (1.0 / op.Cast(high * wide, to=FLOAT.dtype))
    return op.Where(op.And(high == 2, wide == 2), quarter, op.Cast(op.Round(mean), to=UINT8.dtype))


@script(LIBRARY, default_opset=op)
def overlaps(size: INT64, count: INT64):
    """What the ``count`` pixels of the new side cover of the old one: the first whole pixel, the last one that is
    covered in part, both float64; the share of the pixel before the first, of each whole one, of the last, float32."""
    one = op.Cast(op.Constant(value_float=1.0), to=DOUBLE.dtype)
    little = op.Cast(op.Constant(value_float=0.001), to=DOUBLE.dtype)
    length = op.Cast(size, to=DOUBLE.dtype)
    scale = length / op.Cast(count, to=DOUBLE.dtype)
    start = op.Cast(op.Range(0, count, 1), to=DOUBLE.dtype) * scale
    end = start + scale
    cell = op.Min(scale, length - start)
    last = op.Min(op.Floor(end), length - one)
    first = op.Min(op.Ceil(start), last)
    before = first - start
    after = end - last
    zero = one - one
    before_share = op.Where(before > little, before / cell, zero)
    after_share = op.Where(after > little, op.Min(op.Min(after, one), cell) / cell, zero)
    before_32 = op.Cast(before_share, to=FLOAT.dtype)
    whole_32 = op.Cast(one / cell, to=FLOAT.dtype)
    after_32 = op.Cast(after_share, to=FLOAT.dtype)
    return first, last, before_32, whole_32, after_32


@script(LIBRARY, default_opset=op)
def tap(step: INT64, size: INT64, first: DOUBLE, last: DOUBLE, before, whole, after):
    """The ``step``-th pixel that each new pixel covers: its index, int64, and its share, float32."""
    place = first - op.Cast(1, to=DOUBLE.dtype) + op.Cast(step, to=DOUBLE.dtype)
    inner = op.Where(place < last, whole, op.Where(place == last, after, after * 0.0))
    share = op.Where(op.Expand(step == 0, op.Shape(inner)), before, inner)
    return op.Clip(op.Cast(place, to=INT64.dtype), 0, size - 1), share


@script(LIBRARY, default_opset=op)
def area(images, height: INT64, width: INT64):
    """INTER_AREA of uint8 by other factors."""
    shape = op.Shape(images)
    count = op.Slice(shape, [0], [1])
    rows = op.Squeeze(op.Slice(shape, [1], [2]))
    columns = op.Squeeze(op.Slice(shape, [2], [3]))
    three = op.Slice(shape, [3], [4])
    x_first, x_last, x_before, x_whole, x_after = overlaps(columns, width)
    lines = op.ConstantOfShape(op.Concat(count, op.Slice(shape, [1], [2]), op.Reshape(width, [1]), three, axis=0))
    x_taps = (columns + width - 1) / width + 2
    for step in range(x_taps):
        x_index, x_share = tap(step, columns, x_first, x_last, x_before, x_whole, x_after)
        pixels = op.Cast(op.Gather(images, x_index, axis=2), to=FLOAT.dtype)
        lines = lines + pixels * op.Unsqueeze(x_share, [1])
    y_first, y_last, y_before, y_whole, y_after = overlaps(rows, height)
    result = op.ConstantOfShape(op.Concat(count, op.Reshape(height, [1]), op.Reshape(width, [1]), three, axis=0))
    y_taps = (rows + height - 1) / height + 2
    for line in range(y_taps):
        y_index, y_share = tap(line, rows, y_first, y_last, y_before, y_whole, y_after)
        result = result + op.Gather(lines, y_index, axis=1) * op.Unsqueeze(y_share, [1, 2])
    return op.Cast(op.Clip(op.Round(result), 0.0, 255.0), to=UINT8.dtype)


@script(LIBRARY, default_opset=op)
def resized(images: UINT8, height: INT64, width: INT64):
    """N x H x W x 3 uint8 -> N x ``height`` x ``width`` x 3 uint8."""
    shape = op.Shape(images)
    rows = op.Squeeze(op.Slice(shape, [1], [2]))
    columns = op.Squeeze(op.Slice(shape, [2], [3]))
    if op.And(rows >= height, columns >= width):
        if op.And(op.Mod(rows, height) == 0, op.Mod(columns, width) == 0):
            shrunk = area_by_whole_factors(images, height, width)
        else:
            shrunk = area(images, height, width)
        result = op.Identity(shrunk)
    else:
        result = bilinear(images, height, width)
    return result


@script(LIBRARY, default_opset=op)
def resized_clips(clips: UINT8, height: INT64, width: INT64):
    """N x T x H x W x 3 uint8 -> N x T x ``height`` x ``width`` x 3 uint8."""
    shape = op.Shape(clips)
    frames = op.Reshape(clips, op.Concat([-1], op.Slice(shape, [2], [5]), axis=0))
    small = resized(frames, height, width)
    return op.Reshape(small, op.Concat(op.Slice(shape, [0], [2]), op.Slice(op.Shape(small), [1], [4]), axis=0))


def resize_model(size: tuple[int, int], frames: int = 1) -> onnx.ModelProto:
    """The model ``images`` -> ``resized``, both uint8.

    Args:
        size: (height, width) of the result.
        frames: more than 1 makes the input N x ``frames`` x H x W x 3 instead of N x H x W x 3.
    """
    clip = [frames] if frames > 1 else []
    function = resized_clips if clip else resized
    model = function.to_model_proto(
        input_types=[UINT8["N", *clip, "H", "W", 3], INT64, INT64], output_types=[UINT8["N", *clip, *size, 3]]
    )
    graph = model.graph
    for value, number in zip(list(graph.input)[1:], size, strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array(number, dtype=np.int64), value.name))
        graph.input.remove(value)
    return inline_local_functions(model)
