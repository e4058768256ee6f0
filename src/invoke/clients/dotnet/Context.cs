using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Text.Json;

namespace LambdaPack
{
    /// <summary>
    /// Objects of interfaces that the package has (Amazon.Lambda.Core), of whatever version, answered by name; what is unknown is
    /// nothing.
    /// </summary>
    public class Context : DispatchProxy
    {
        Func<string, Type, object[], object> answer;

        protected override object Invoke(MethodInfo method, object[] arguments)
        {
            var name = method.Name.StartsWith("get_") ? method.Name.Substring(4) : method.Name;
            var type = method.ReturnType;
            var value = answer(name, type, arguments);
            return value ?? (type.IsValueType && type != typeof(void) ? Activator.CreateInstance(type) : null);
        }

        static object Made(Type of, Func<string, Type, object[], object> answer)
        {
            var create = typeof(DispatchProxy).GetMethods().First(one => one.Name == "Create" && one.GetGenericArguments().Length == 2);
            var made = create.MakeGenericMethod(of, typeof(Context)).Invoke(null, null);
            ((Context)made).answer = answer;
            return made;
        }

        internal static object Of(Type context, Invocation invocation)
        {
            string Told(string name) => Environment.GetEnvironmentVariable("AWS_LAMBDA_" + name);
            return Made(context, (name, type, _) => name switch
            {
                "AwsRequestId" => invocation.Id,
                "InvokedFunctionArn" => invocation.Arn,
                "FunctionName" => Told("FUNCTION_NAME"),
                "FunctionVersion" => Told("FUNCTION_VERSION"),
                "LogGroupName" => Told("LOG_GROUP_NAME"),
                "LogStreamName" => Told("LOG_STREAM_NAME"),
                "MemoryLimitInMB" => int.Parse(Told("FUNCTION_MEMORY_SIZE")),
                "RemainingTime" => invocation.Deadline - DateTime.UtcNow,
                "TraceId" => Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID"),
                "Logger" => Made(type, Log),
                "ClientContext" when invocation.ClientContext != null => Client(type, JsonDocument.Parse(invocation.ClientContext).RootElement),
                _ => null,
            });
        }

        /// <summary>Every method of a logger has the text last, but for those that take arguments for it.</summary>
        static object Log(string method, Type type, object[] arguments)
        {
            Console.WriteLine(arguments.OfType<string>().LastOrDefault());
            return null;
        }

        static object Client(Type context, JsonElement told) => Made(context, (name, type, _) => name switch
        {
            "Custom" => Map(told, "custom"),
            "Environment" => Map(told, "env"),
            "Client" when told.TryGetProperty("client", out var client) =>
                Made(type, (key, _, __) => client.TryGetProperty(Snake(key), out var text) ? text.ToString() : null),
            _ => null,
        });

        static string Snake(string name) =>
            string.Concat(name.Select((c, at) => char.IsUpper(c) ? (at > 0 ? "_" : "") + char.ToLowerInvariant(c) : c.ToString()));

        static Dictionary<string, string> Map(JsonElement told, string name) => told.TryGetProperty(name, out var map)
            ? map.EnumerateObject().ToDictionary(one => one.Name, one => one.Value.ToString())
            : new Dictionary<string, string>();
    }
}
