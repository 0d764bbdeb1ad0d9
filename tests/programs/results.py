"""Parts about what comes out, and how: results and views, who calls, exceptions."""

from .grammar import WHEN, Part

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
    "the values": Part(result="«h.detach()|h.detach() * 2|(h * 2).detach()|tg.exp(-h.detach() ** 2)|h»"),
    "a view of values": Part(
        result="""
        (h * 2).detach()«[:1]|.T|.reshape(-1)|[:, 0]|[::-1]|[:, None]|[...]|.reshape(-1, 1)|[0:0]|[:, 1:]|
            [:, [0, 1]]»
        """,
    ),
    "several views of one": Part(
        step="v# = (h * «2|w|1»).detach()",
        result="""
        «v#[:1], v#[1:]|v#, v#.T|v#.reshape(-1), v#[::-1]|v#, v#|[v#, [v#]], v#|v#[:1], v#.sum()|v#[:, :1][:1], v#»
        """,
    ),
    "a container twice": Part(
        step="v# = «[(h * 2).detach()]|{'a': (h * 2).detach()}|[{}, h.shape]»",
        result="«v#, v#|{1: v#, 2: [v#]}|(v#, (v#,))»",
    ),
    "the argument": Part(result="«x|x[1:]|x.T|x.reshape(-1)|x.detach()|x, x|x * 1|x[:, 0]|x[::-1][:1]»"),
    "the parameter": Part(
        result="""
        «w|w.detach()|w.detach()[:2]|w * 1|w.detach() * 1|w, w|w.detach().reshape(3, 1)|[w]|w.data|
            w.detach()[::-1]»
        """,
    ),
    "what lives on": Part(
        setup="""
        frozen# = tg.nn.Parameter([1.0, 2.0, 3.0], requires_grad=False)
        kept# = tg.nn.BatchNorm(features=3, dtype='float64')
        """,
        step="h = kept#(h * frozen#)",
        result="«frozen#|frozen#, frozen#|[kept#.gamma, frozen#]|kept#.running_mean|frozen#, frozen#.detach()»",
        between="frozen#.«data = np.zeros(3)|requires_grad = k % 2 == 0»",
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
    "objects": Part(
        setup="""
        import collections
        from dataclasses import dataclass
        from types import SimpleNamespace

        @dataclass
        class Box#:
            value: object
            number: float = 2.0

        class Many#(list):
            pass
        """,
        result="""
        «Box#(h.detach())|SimpleNamespace(h=h.detach())|collections.OrderedDict(b=loss, a=h.detach())|
            collections.deque([h.detach()])|collections.defaultdict(list, a=h.detach())|{1.5, 2.5}|Many#([h.detach()])|
            Box#(w)|Box#([h.detach(), x])|[Box#(loss)]|{'a': Box#(1)}|frozenset({1})|Box#(None)»
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
    "with the result before": Part(
        setup="""
        last# = [None]

        def again#(f):
            def call(*args, **kwargs):
                last#[0] = f(*args, p#=last#[0], **kwargs)
                return last#[0]
            return call

        def total#(item):
            if isinstance(item, (list, tuple, dict)):
                return sum(map(total#, item.values() if isinstance(item, dict) else item))
            return item.sum() if isinstance(item, tg.Tensor) and item.dtype.kind == 'f' else 1
        """,
        takes="p#=None",
        step="h = h + total#(p#) * 0.1",
        call="again#(STEP)",
    ),
    "whose results are written to": Part(
        setup="""
        def tensors#(item):
            if isinstance(item, (list, tuple, dict)):
                for part in item.values() if isinstance(item, dict) else item:
                    yield from tensors#(part)
            elif isinstance(item, (tg.Tensor, np.ndarray)):
                yield item

        def spoilt#(f):
            def call(*args, **kwargs):
                result = f(*args, **kwargs)
                for item in tensors#(result):
                    array = item.numpy() if isinstance(item, tg.Tensor) else item
                    if array.flags.writeable:
                        array[...] = array * 0.5
                return result
            return call
        """,
        call="spoilt#(STEP)",
    ),
    "without recording": Part(call="«tg.no_grad()(STEP)|(tg.no_grad()(STEP) if k % 3 == 2 else STEP)»"),
    "watched": Part(call="(tg.detect_anomaly()(STEP) if k % 3 == 2 else STEP)"),
    "inside a compiled step": Part(
        setup="outer = compile(lambda *args, **kwargs: step(*args, **kwargs))",
        call="outer",
    ),
}

KERNELS = {  # plain ones alone: what compiled ones compute is rounded otherwise
    "others at times": Part(call=f"(tg.use_kernels('plain')(STEP) if {WHEN} else STEP)"),
}
