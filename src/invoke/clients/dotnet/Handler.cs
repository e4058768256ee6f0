using System;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.Loader;
using System.Threading.Tasks;

namespace LambdaPack
{
    /// <summary>Amazon.Lambda.RuntimeSupport's name of what is no handler.</summary>
    sealed class LambdaValidationException : Exception
    {
        public LambdaValidationException(string message) : base(message) { }
    }

    /// <summary>A method <c>ASSEMBLY::TYPE::METHOD</c>, with what turns streams into its types.</summary>
    sealed class Handler
    {
        const BindingFlags Any =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DoNotWrapExceptions;
        readonly MethodInfo method;
        readonly object target;
        readonly Serializer serializer;

        Handler(MethodInfo method, object target, Serializer serializer)
        {
            this.method = method;
            this.target = target;
            this.serializer = serializer;
        }

        public static Handler Find(string name)
        {
            var parts = name.Split("::");
            if (parts.Length != 3 || parts.Any(part => part.Length == 0))
                throw new LambdaValidationException(
                    $"Invalid lambda function handler: '{name}'. The valid format is 'ASSEMBLY::TYPE::METHOD'.");
            Assembly assembly;
            try
            {
                assembly = AssemblyLoadContext.Default.LoadFromAssemblyName(new AssemblyName(parts[0]));
            }
            catch (FileNotFoundException missing)
            {
                throw new LambdaValidationException(
                    $"Could not find the specified handler assembly with the file name '{missing.FileName}'. The assembly should be located in the root of your uploaded .zip file.");
            }
            var type = assembly.GetType(parts[1])
                ?? throw new LambdaValidationException($"Unable to load type '{parts[1]}' from assembly '{parts[0]}'.");
            var method = Method(type, parts[2]);
            var target = method.IsStatic ? null : Activator.CreateInstance(type, Any, null, null, null);
            return new Handler(method, target, Serializer.Of(method, assembly));
        }

        static MethodInfo Method(Type type, string name)
        {
            // A name, or a whole signature where there are overloads.
            for (var at = type; at != null; at = at.BaseType)
            {
                var all = at.GetMethods(Any | BindingFlags.DeclaredOnly);
                var found = all.Where(one => one.ToString() == name).Concat(all.Where(one => one.Name == name)).ToList();
                if (found.Count > 1)
                    throw new LambdaValidationException(
                        $"The method '{name}' in type '{type}' appears to have a number of overloads. To call this method please specify a complete method signature.");
                if (found.Count == 1) return found[0];
            }
            throw new LambdaValidationException($"Found no methods matching method name '{name}' in type '{type}'.");
        }

        public async Task<Stream> Call(Invocation invocation)
        {
            var parameters = method.GetParameters();
            var arguments = new object[parameters.Length];
            for (var at = 0; at < arguments.Length; at++)
            {
                var type = parameters[at].ParameterType;
                arguments[at] = type.FullName == "Amazon.Lambda.Core.ILambdaContext"
                    ? Context.Of(type, invocation)
                    : type == typeof(Stream) ? invocation.Event : serializer.Read(invocation.Event, type);
            }
            var answer = method.Invoke(target, Any, null, arguments, null);
            var answers = method.ReturnType;
            if (answer is Task task)
            {
                await task;
                answers = answers.IsGenericType ? answers.GetGenericArguments()[0] : typeof(void);
                answer = answers == typeof(void) ? null : task.GetType().GetProperty("Result").GetValue(task);
            }
            if (answers == typeof(void)) return new MemoryStream();
            return answer as Stream ?? serializer.Write(answer, answers);
        }
    }
}
