"""Parts about what goes in and comes out: arguments and their containers, results and views, who calls, exceptions."""

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
    ),
    "of other layouts": Part(
        setup="""
        def shape(k):
            return (3, 3)
        """,
        gives="""
        «array(k, 3, 3).T|array(k, 3, 6)[:, ::2]|[array(k, 3, 3), array(k, 3, 3).T][k % 2]|array(k, 3, 3)[::-1]»
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
    "one and the same": Part(setup="def shape(k):\n    return (2, 3)\n\n\nbatch = array(0, 2, 3)", gives="batch"),
}

ARGUMENTS = {
    "a number": Part(
        takes="p#=1.0",
        gives="""
        p#=«[0.0, -0.0][k % 2]|float('nan') if k == 3 else 1.0|k|float(k // 2)|
            [1, 1.0, True, np.float64(1)][k % 4]|np.float32(k)|[2, 0.5][k % 2]|1 + 1j»
        """,
        step="h = h «*|+» «p#|np.real(p#)|(1.0 if p# is True else 2.0)»",
        result="«|p#|h.detach() / p# if isinstance(p#, float) else p#»",
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
    "one array twice": Part(
        takes="p#=None, q#=None",
        gives="**dict.fromkeys(['p#', 'q#'], array(k, 3))",
        step="h = h + p# - q#",
        result="«p#, q#|p# - q#|»",
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

RAISES = {
    "by a counter": Part(
        setup="n# = 0",
        step="""
        n# += 1
        if n# «== 5|% 3 == 0|> 6»:
            raise ValueError(f'call {n#}')
        """,
    ),
    "by state": Part(setup="bad# = False", step="if bad#:\n    raise RuntimeError('bad')", between="bad# = not bad#"),
    "a wrong shape": Part(takes="p#=None", gives="p#=array(k, 4 if k == 5 else 3)", step="h = h * p#"),
    "an index": Part(
        takes="p#=None",
        gives="p#=np.array([0, 9 if k == 5 else 1])",
        step="h = h + tg.take(w.detach(), p#).sum()",
    ),
    "an assertion": Part(setup="n# = 0", step="n# += 1\nassert n# != 4, 'four'"),
    "of an embedding": Part(
        takes="p#=None",
        gives="p#=np.array([0, -1 if k == 4 else 1])",
        step="h = h + tg.embedding(p#, tg.ones((3, 3))).sum()",
    ),
    "kind of a label": Part(
        takes="p#=None",
        gives="p#=np.array([0.0, 1.0]) if k == 4 else np.array([0, 1])",
        step="h = h + tg.one_hot(p#, 3).sum(axis=0)",
    ),
    "after backward": Part(
        setup="""
        n# = 0
        v# = tg.nn.Parameter(np.ones(3))
        """,
        step="""
        n# += 1
        (v# * w.detach()).sum().backward()
        if n# == 5:
            raise KeyError(n#)
        """,
    ),
}

RESULTS = {
    "the loss": Part(result="loss"),
    "the values": Part(result="«h.detach()|h|h * 2|h.detach() * 2|(h * 2).detach()»"),
    "a view of values": Part(
        result="""
        (h * 2).detach()«[:1]|.T|.reshape(-1)|[:, 0]|[::-1]|[:, None]|[...]|.reshape(-1, 1)|[0:0]|[:, 1:]|
            [:, [0, 1]]»
        """,
    ),
    "several views of one": Part(
        step="v# = (h * «2|w|1»).detach()",
        result="«v#[:1], v#[1:]|v#, v#.T|v#.reshape(-1), v#[::-1]|v#, v#|v#[:1], v#.sum()|v#[:, :1][:1], v#»",
    ),
    "the argument": Part(result="«x|x[1:]|x.T|x.reshape(-1)|x.detach()|x, x|x * 1|x[:, 0]|x[::-1][:1]»"),
    "the parameter": Part(
        result="""
        «w|w.detach()|w.detach()[:2]|w * 1|w.detach() * 1|w, w|w.detach().reshape(3, 1)|[w]|w.data|
            w.detach()[::-1]»
        """,
    ),
    "the gradient": Part(
        result="""
        «w.grad|w.grad|w.grad is None|None if w.grad is None else w.grad * 1|
            None if w.grad is None else w.grad[:2]|w.grad, w.grad»
        """,
    ),
    "things": Part(
        result="""
        «None|3|'text'|h.shape|h.dtype|-0.0|()|[]|{}|True|float('nan')|np.float64(2)|range(2)|slice(1)|...|int»
        """,
    ),
    "constants": Part(
        result="""
        «np.array([1.0, 2.0])|tg.zeros(3)|tg.Tensor([1, 2])|tg.ones((2, 2))[:1]|np.arange(3)|np.array(2.0)|
            tg.arange(3)»
        """,
    ),
    "data": Part(
        result="""
        «h.detach().argmax(axis=1)|h.detach() > 0|h.detach().argsort(axis=1)|(h.detach() > 0).sum()|
            tg.one_hot(h.detach().argmax(axis=1), 3)|h.detach().astype('int64')»
        """,
    ),
    "reduced": Part(result="h.detach().«sum()|mean(axis=0)|max(axis=1)|sum(axis=1, keepdims=True)»"),
    "in a container": Part(
        result="""
        «{'h': h.detach(), 'w': w}|[h.detach(), [x]]|(h.detach(),)|{'b': 1, 'a': {'c': h.detach()}}|
            ((), [h.detach()])|{1: loss, (2, 3): [w.detach()]}»
        """,
    ),
    "by a counter": Part(
        setup="n# = 0",
        step="n# += 1",
        result="«n#|h.detach() * n#|[n#] * (n# % 3)|(h.detach(), None)[n# % 2]|{'a' if n# % 2 else 'b': 1}»",
    ),
    "held by others": Part(
        setup="""
        s# = np.array([1.0, 2.0])
        t# = tg.Tensor([1.0, 2.0])
        """,
        result="«s#|t#|s#[:1]|t#[:1]|t#.detach()|t# * 1|[s#, t#]|tg.Tensor(s#)»",
        between="«s#[0] = 9.0|t#.data = np.zeros(2)|s# = np.zeros(1)|t# = tg.zeros(2)»",
    ),
}

FORMS = ("RESULTS", "[RESULTS]", "(RESULTS,)", "{'r': (RESULTS,), 'k': 3}", "[[RESULTS], ()]", "(RESULTS,), None")

IN_THREADS = """
        from concurrent.futures import ThreadPoolExecutor
        from contextvars import copy_context


"""

CALLS = {
    "directly": Part(call="STEP"),
    "in another thread": Part(
        setup=IN_THREADS
        + """
        def in_thread(f):
            def call(*args, **kwargs):
                with ThreadPoolExecutor(1) as pool:
                    return pool.submit(copy_context().run, f, *args, **kwargs).result()
            return call
        """,
        call="«in_thread(STEP)|(in_thread(STEP) if k % 2 else STEP)|(STEP if k < 4 else in_thread(STEP))»",
    ),
    "by two at once": Part(
        setup=IN_THREADS
        + """
        def both(f):
            def call(*args, **kwargs):
                with ThreadPoolExecutor(2) as pool:
                    calls = [pool.submit(copy_context().run, f, *args, **kwargs) for _ in range(2)]
                    return [call.result() for call in calls]
            return call
        """,
        call="both(STEP)",
    ),
    "without recording": Part(call="«tg.no_grad()(STEP)|(tg.no_grad()(STEP) if k % 3 == 2 else STEP)»"),
    "watched": Part(call="(tg.detect_anomaly()(STEP) if k % 3 == 2 else STEP)"),
    "inside a compiled step": Part(
        setup="outer = compile(lambda *args, **kwargs: step(*args, **kwargs))",
        call="outer",
    ),
}
