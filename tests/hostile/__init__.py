"""Bad calls of everything public, drawn: values that no function can use, among values that this one can.

`surface.walk` finds what can be called: functions, constructors, the methods and operators of instances. `calls.draw`
makes one call of it, by its signature. `calls.outcome` runs the call and says what is wrong with how it ended, if
anything is: the library answers within two seconds, with a result or with an error of its own.
"""
