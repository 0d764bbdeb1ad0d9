"""Parts about what goes in: the argument that each program has, others in all kinds of containers, keywords."""

from .grammar import Part

INPUTS = {
    "of one shape": Part(setup="def shape(k):\n    return (2, 3)", gives="array(k, *shape(k))"),
    "of two shapes": Part(setup="def shape(k):\n    return (2 + k % 2, 3)", gives="array(k, *shape(k))"),
    "empty at times": Part(setup="def shape(k):\n    return (k % 3, 3)", gives="array(k, *shape(k))"),
    "of two dtypes": Part(
        setup="""
        def shape(k):
            return (2, 3)
        """,
        gives="array(k, 2, 3, dtype=['float64', 'float32'][k % 2])",
        step="h = h + x * 0.1",
        result="x * 2",
    ),
    "of other layouts": Part(
        setup="""
        def shape(k):
            return (3, 3)
        """,
        gives="""
        [array(k, 3, 3), «array(k, 3, 3).T|array(k, 3, 6)[:, ::2]|array(k, 3, 3)[::-1]»][«k % 2|1|k % 2»]
        """,
    ),
    "whole numbers": Part(
        setup="""
        def shape(k):
            return (2, 3)
        """,
        gives="np.arange(6).reshape(2, 3) «* k|+ k|.astype('int32')|% 2 == 0»",
    ),
    "float32": Part(setup="def shape(k):\n    return (2, 3)", gives="array(k, *shape(k), dtype='float32')"),
    "one array, written anew": Part(
        setup="""
        def shape(k):
            return (2, 3)


        batch = np.zeros((2, 3))
        """,
        between="""
        if True:
            batch[...] = array(k, 2, 3)
        """,
        gives="batch",
    ),
    "tensors": Part(
        setup="def shape(k):\n    return (2, 3)",
        gives="tg.Tensor(array(k, 2, 3)«|, requires_grad=k % 2 == 1|, requires_grad=True») «|* 1»",
    ),
    "special numbers": Part(
        setup="""
        def shape(k):
            return (2, 3)
        """,
        gives="np.array([[0.0, -0.0, 1.0], [np.inf, np.nan, -1.0]]) * «1|(k + 1)|(-1) ** k»",
    ),
    "by keyword at times": Part(
        setup="""
        def shape(k):
            return (2, 3)
        """,
        gives="*([array(k, 2, 3)] if k % 2 else []), **({} if k % 2 else {'x': array(k, 2, 3)})",
    ),
    "of odd memory": Part(
        setup="""
        def shape(k):
            return (2, 3)
        """,
        gives="""
        «array(k, 2, 3).astype('>f8')|np.frombuffer(b'.' + array(k, 2, 3).tobytes(), offset=1).reshape(2, 3)|
            np.broadcast_to(array(k, 3), (2, 3))|np.broadcast_to(array(k, 2, 1), (2, 3))|
            np.lib.stride_tricks.sliding_window_view(array(k, 4), 3)|array(k, 3, 2, 1)[:, ::-1, 0].T|
            np.frombuffer(array(k, 2, 3).tobytes()).reshape(2, 3)»
        """,
    ),
    "a leaf that is kept": Part(
        setup="""
        def shape(k):
            return (2, 3)


        leaf = tg.Tensor(array(0, 2, 3), requires_grad=True)
        """,
        between="leaf.«data = array(k, 2, 3)|grad = None|requires_grad = False|numpy()[0] = k»",
        gives="leaf",
    ),
    "a view of the parameter": Part(
        setup="""
        def shape(k):
            return (1, 3)
        """,
        gives="«w.detach().reshape(1, 3)|w.data[None]|w.detach()[None]|tg.Tensor(w.data[None])|w.data[None] * 1»",
    ),
    "one and the same": Part(setup="def shape(k):\n    return (2, 3)\n\n\nbatch = array(0, 2, 3)", gives="batch"),
}

ARGUMENTS = {
    "a number": Part(
        takes="p#=1.0",
        gives="p#=«[2, 0.5]|[float('nan'), 1.0]|[1.0, True]|[1, np.float64(1)]|[np.float32(k), k]|[1 + 1j, 1]»[k % 2]",
        step="h = h «*|+» «p#|np.real(p#)|(1.0 if p# is True else 2.0)»",
        result="«|p#»",
    ),
    "the sign of nothing": Part(
        takes="p#=1.0",
        gives="p#=[0.0, «-0.0|0|False|np.float64(-0.0)|-0j»][k % 2]",
        step="h = h + np.copysign(1.0, np.real(p#))",
        result="«|p#|h.detach() / p#»",
    ),
    "a text": Part(
        takes="p#=''", gives="p#=['double', 'off'][k % 2]", step="h = h * 2 if p# == 'double' else h", result="«|p#»"
    ),
    "an object": Part(
        setup="""
        class Settings#:
            def __init__(self, rate):
                self.rate = rate

        s# = Settings#(0.5)
        """,
        takes="p#=None",
        gives="p#=«s#|Settings#(float(k))|[s#, Settings#(3.0)][k % 2]»",
        step="h = h * p#.rate",
        between="s#.rate = 3.0",
    ),
    "an object that says it is equal": Part(
        setup="""
        class Settings#:
            def __init__(self, rate):
                self.rate = rate

            def __eq__(self, other):
                return True

            def __hash__(self):
                return 0
        """,
        takes="p#=None",
        gives="p#=«Settings#(float(k))|[Settings#(float(k))]»",
        step="h = h * (p#[0] if type(p#) is list else p#).rate",
    ),
    "a number that is more": Part(
        setup="""
        class Rate#(«float|int|str»):
            scale = 1.0

        def rate#(k):
            rate = Rate#(«1|k % 2»)
            rate.scale = float(k)
            return rate
        """,
        takes="p#=None",
        gives="p#=rate#(k)",
        step="h = h * p#.scale",
        result="«|p#|p#.scale»",
    ),
    "a container that is more": Part(
        setup="""
        class More#(«list|dict|tuple»):
            scale = 1.0

            def __getitem__(self, key):
                return super().__getitem__(key) * self.scale

        def more#(k):
            more = More#({0: array(k, 3)} if issubclass(More#, dict) else [array(k, 3)])
            more.scale = float(k)
            return more
        """,
        takes="p#=None",
        gives="p#=more#(k)",
        step="h = h * p#[0]",
    ),
    "arrays that overlap": Part(
        setup="base# = array(9, 4, 3)",
        takes="p#=None, q#=None",
        gives="p#=base#[«:1|0|1»], q#=base#[«:1|0|::3»][:1]",
        step="h = h * p# + q#",
        between="base#[...] = array(k, 4, 3)",
        result="«|p#, q#|p#[:1]|p# + q#»",
    ),
    "the gradient before": Part(
        takes="p#=None",
        gives="p#=«w.grad|None if w.grad is None else w.grad * 1|[w.grad]»",
        step="for item in p# if type(p#) is list else [p#]:\n    h = h if item is None else h + item",
        result="«|p#»",
    ),
    "the parameter once more": Part(
        takes="p#=None",
        gives="p#=«w|w.detach()|[w, w]|{'w': w}|w * 1|w.data»",
        result="«|p#»",
    ),
    "a function": Part(
        takes="p#=None",
        gives="p#=«tg.tanh|(lambda z: z * k)|[tg.tanh, tg.exp][k % 2]|[np.tanh, abs][k % 2]»",
        step="h = p#(h)",
    ),
    "an array": Part(
        takes="p#=None",
        gives="""
        p#=«array(k, 3)|array(k, 1, 3)|array(k)|None if k % 2 else array(k, 3)|array(k, 1 + 2 * (k % 2))|k»
        """,
        step="""
        if p# is not None:
            h = h * p#
        """,
    ),
    "a number of NumPy": Part(
        takes="p#=None",
        gives="p#=«np.float64(k)|np.int64(k)|np.bool_(k % 2)|np.array(k)|array(k, 1)[0]»",
        step="h = h * p#",
        result="«p#|»",
    ),
    "a list": Part(
        takes="p#=()",
        gives="p#=[array(k, 3), array(k + 1, 3)]«|[:1 + k % 2]»",
        step="""
        for item in p#:
            h = h * 2 + item
        """,
        result="«|p#|p#[0]|list(p#)»",
    ),
    "a tuple": Part(
        takes="p#=()",
        gives="p#=(array(k, 3), «2.0|k|'text'|None|(array(k, 3), 1)|[]»)",
        step="h = h * p#[0]",
        result="«|p#|p#[1]»",
    ),
    "a dictionary": Part(
        takes="p#={}",
        gives="""
        p#={«'a': array(k, 3), 'b': array(k + 1, 3)|'ab'[k % 2]: array(k, 3)|
            **dict(list({'a': array(k, 3), 'b': array(k, 3) * 2}.items())[::(-1) ** k])|k % 2: array(k, 3)|
            1.0: array(k, 3), 'n': 2.0|(1, k % 2): array(k, 3)»}
        """,
        step="for name, item in p#.items():\n    h = h * 2 + item * «len(str(name))|1|(2 if name == 'a' else 3)»",
        result="«|p#»",
    ),
    "one container twice": Part(
        setup="s#, t# = [2.0, 3], [2.0, 3]",
        takes="p#=None, q#=None",
        gives="p#=s#, q#=«s#|[s#, t#][k % 2]|[s#]|{'a': s#}|s#[:]»",
        step="«p#.append(1.0)\nh = h * 2 + len(q#)|h = h * (2 if p# is q# else 3)|h = h * p#[1]»",
    ),
    "a tensor that the step changes": Part(
        setup="s# = «tg.Tensor([1.0, 2.0, 3.0])|tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)»",
        takes="p#=None",
        gives="p#=s#",
        step="""
        h = h * p#
        with tg.no_grad():
            p#.«data = p# * 0.5|requires_grad = True|name = 'seen'|grad = None|data = x.mean(axis=0)»
        """,
        result="«|p#|p#.detach()»",
    ),
    "a container that the step changes": Part(
        setup="s# = «{'a': tg.ones(3), 'n': 0}|[tg.ones(3), 0]|{'a': 2.0, 'n': 0}|[[tg.ones(3)], 0]»",
        takes="p#=None",
        gives="p#=«s#|[s#][0]»",
        step="h = h * 2\np#[«'n' if isinstance(p#, dict) else 1»] «+= 1|= h.detach()|= x.shape|= h.shape[0]»",
    ),
    "a named tuple": Part(
        setup="from typing import NamedTuple\n\n\nclass Pair#(NamedTuple):\n    a: object\n    b: object = 2.0\n",
        takes="p#=None",
        gives="p#=Pair#(array(k, 3)«|, array(k + 1, 3)|, k % 2»)",
        step="h = h * p#.a + p#.b",
        result="«|p#|Pair#(h.detach(), 1)|p#._replace(a=h.detach())»",
    ),
    "another structure at each call": Part(
        takes="p#=None",
        gives="""
        p#=[«[array(k, 3), array(k + 1, 3)], (array(k, 3), array(k + 1, 3))|
            [[array(k, 3)], array(k, 3)], [array(k, 3), [array(k, 3)]]|
            {'a': array(k, 3), 'b': 1.0}, {'a': 1.0, 'b': array(k, 3)}|[array(k, 3), 2.0], [2.0, array(k, 3)]|
            [array(k, 3), None], [None, array(k, 3)]|{'a': array(k, 3)}, [array(k, 3)]|
            (array(k, 3), ()), (array(k, 3),)|{'a': {}, 'b': array(k, 3)}, {'a': array(k, 3), 'b': {}}»][k % 2]
        """,
        step="""
        def total#(item):
            if isinstance(item, dict):
                return sum((total#(v) * len(n) for n, v in item.items()), 3.0)
            if isinstance(item, (list, tuple)):
                return sum((total#(v) * 2.0 for v in item), 1.0 if type(item) is list else 5.0)
            return 0.5 if item is None else item

        h = h + total#(p#)
        """,
        result="«|p#»",
    ),
    "a parameter": Part(
        setup="p# = [tg.nn.Parameter(np.ones(3)), tg.nn.Parameter(np.array([1.0, 2.0, 3.0]))]",
        takes="q#=None",
        gives="q#=p#[«0|k % 2|k > 4»]",
        step="h = h * q#",
        result="«|q#|q#.detach()»",
        learns="*p#",
    ),
    "a list of parameters": Part(
        setup="p# = [tg.nn.Parameter(np.ones(3)), tg.nn.Parameter(np.array([1.0, 2.0, 3.0]))]",
        takes="q#=()",
        gives="q#=p#[«:|::-1|:1 + k % 2»]",
        step="for item in q#:\n    h = h * 2 + item",
        learns="*p#",
    ),
    "a module": Part(
        setup="nets# = [tg.nn.Dense(3, in_features=3, seed=1), tg.nn.Activation('tanh')]",
        takes="p#=None",
        gives="p#=nets#[«0|k % 2|k > 4»]",
        step="h = p#(h)",
    ),
    "a generator": Part(
        setup="rng# = np.random.default_rng(0)",
        takes="p#=None",
        gives="p#=«rng#|np.random.default_rng(k)»",
        step="h = tg.ops.normalization.dropout(h, 0.5, p#)",
    ),
    "a slice": Part(
        takes="p#=slice(None)",
        gives="p#=«slice(k % 2, None)|slice(0, 3)|[0, 1, 2][k % 3:]|np.array([0, k % 3, 2])|k % 3|[k % 3]»",
        step="h = h * h[:, p#].sum()",
    ),
    "an iterator": Part(
        takes="p#=()",
        gives="p#=«iter([array(k, 3)])|(array(j, 3) for j in range(2))|range(k % 3)|zip([array(k, 3)])»",
        step="""
        for item in p#:
            h = h * (item[0] if isinstance(item, tuple) else item)
        """,
    ),
}

OPTIONS = {
    "none": Part(),
    "one array twice": Part(
        takes="p#=None, q#=None",
        gives="p#=(s# := array(k, 3)), q#=«s#|(s# * 1 if k % 2 else s#)|[s#, array(0, 3)][k % 2]»",
        step="h = «h + p# - q#|h * 2 if p# is q# else h + q#»",
        result="«p#, q#|p# - q#|p# is q#|»",
    ),
    "keywords of other names": Part(
        takes="**named",
        gives="""
        **«{'ab'[k % 2]: array(k, 3)}|{'a': array(k, 3), 'b': 2.0} if k % 2 else {'b': array(k, 3), 'a': 2.0}|
            {'a': 1.0, 'bb': array(k, 3)}|dict(list({'a': 2.0, 'b': 3.0}.items())[::(-1) ** k])|
            {'a' * (k % 3): array(k, 3)}»
        """,
        step="""
        for name, item in named.items():
            h = h * 2 + item * len(name)
        h = h * named['b'] if 'b' in named else h + named.get('a', 1.0)
        """,
        result="«|named|list(named)|sorted(named)»",
    ),
}
